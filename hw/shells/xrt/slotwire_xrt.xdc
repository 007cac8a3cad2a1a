# Packed into the kernel, where it applies to the kernel alone. It has one clock: only its reset comes from elsewhere.
set_false_path -to [get_pins {u_kernel/u_reset/chain_q_reg[*]/CLR}]
