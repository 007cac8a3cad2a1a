// The card has the box's whole window of registers: user_plugin_250mhz_inst.vh connects it straight.
