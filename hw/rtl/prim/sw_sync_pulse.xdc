# Of each sw_sync_pulse.
set_false_path -from [get_cells {toggle_q_reg}] -to [get_cells {u_sync/meta_q_reg[*]}]
