# What slotwire_opennic itself brings from one clock to the other.
set_false_path -from [get_cells {up_q_reg}] -to [get_cells {u_done/meta_q_reg[*]}]
