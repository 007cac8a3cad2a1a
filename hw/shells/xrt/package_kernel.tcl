# Packages the RTL as a kernel: vivado -mode batch -source package_kernel.tcl -tclargs XO PART BUILD_ID
#
#   XO        the file to write (slotwire_xrt.xo)
#   PART      the card's FPGA, as its platform names it (platforminfo)
#   BUILD_ID  first 32 bits of the source revision, hexadecimal
if {$argc != 3} {
  puts stderr "usage: vivado -mode batch -source package_kernel.tcl -tclargs XO PART BUILD_ID"
  exit 2
}
lassign $argv xo part build_id
set here [file dirname [file normalize [info script]]]
set rtl [file join $here .. .. rtl]
set name slotwire_xrt
set work [file rootname [file normalize $xo]]

create_project -force $name $work.project -part $part
# The package comes first.
read_verilog -sv [concat [file join $rtl gen slotwire_pkg.sv] [glob [file join $rtl slotwire_core.sv] [file join $rtl slotwire_counters.sv] \
  [file join $rtl slotwire_host.sv] [file join $rtl slotwire_marks.sv] [file join $rtl slotwire_r*.sv] [file join $rtl slotwire_tx.sv] \
  [file join $rtl slotwire_writer.sv] [file join $rtl gen sw_crc*.sv] [file join $rtl prim *.sv] [file join $rtl axi *.sv]] \
  [file join $here $name.sv]]
add_files -norecurse [glob [file join $rtl *.svh] [file join $rtl prim *.svh]]
set_property file_type {Verilog Header} [get_files *.svh]
set_property include_dirs [list $rtl [file join $rtl prim]] [current_fileset]
set_property top $name [current_fileset]
set_property generic "BuildId=32'h$build_id" [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir $work.ip -vendor slotwire -library kernel -taxonomy /KernelIP -import_files -set_current true
set core [ipx::current_core]
# What is no parameter of a kernel is fixed.
foreach parameter [ipx::get_user_parameters -of_objects $core] {
  ipx::remove_user_parameter [get_property NAME $parameter] $core
}
foreach bus {s_axi_control m_axi_memory s_axis_rx m_axis_tx} {
  ipx::associate_bus_interfaces -busif $bus -clock ap_clk $core
}
ipx::associate_bus_interfaces -clock ap_clk -reset ap_rst_n $core
set_property sdx_kernel true $core
set_property sdx_kernel_type rtl $core
set_property supported_families {} $core
set_property auto_family_support_level level_2 $core
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::save_core $core

file delete -force $xo
package_xo -xo_path $xo -kernel_name $name -ip_directory $work.ip -kernel_xml [file join $here kernel.xml] -ctrl_protocol user_managed
close_project -delete
