# Of each sw_async_fifo. The bits of a gray pointer may differ by less than the time in which the pointer moves on, so the other side
# never sees two of its bits change at once. A word is read two clocks after its pointer crossed, at the earliest.
set write_clock [get_clocks -of_objects [get_ports wclk_i]]
set read_clock [get_clocks -of_objects [get_ports rclk_i]]
set faster [expr {min([get_property PERIOD $write_clock], [get_property PERIOD $read_clock])}]
set_max_delay -datapath_only $faster -from [get_cells {wgray_q_reg[*]}] -to [get_cells {u_to_read/meta_q_reg[*]}]
set_bus_skew $faster -from [get_cells {wgray_q_reg[*]}] -to [get_cells {u_to_read/meta_q_reg[*]}]
set_max_delay -datapath_only $faster -from [get_cells {rgray_q_reg[*]}] -to [get_cells {u_to_write/meta_q_reg[*]}]
set_bus_skew $faster -from [get_cells {rgray_q_reg[*]}] -to [get_cells {u_to_write/meta_q_reg[*]}]
set_max_delay -datapath_only [get_property PERIOD $read_clock] -from [get_cells {mem_reg*}] -to $read_clock
