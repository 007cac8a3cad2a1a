# Packages the RTL as a kernel: vivado -mode batch -source package_kernel.tcl -tclargs XO PART BUILD_ID
#
#   XO        the file to write (slotwire_xrt.xo)
#   PART      the card's FPGA, as its platform names it (platforminfo)
#   BUILD_ID  first 32 bits of the source revision, hexadecimal
if {$argc != 3 || ![regexp {^[0-9a-fA-F]{1,8}$} [lindex $argv 2]]} {
  puts stderr "usage: vivado -mode batch -source package_kernel.tcl -tclargs XO PART BUILD_ID (1 to 8 hexadecimal digits)"
  exit 2
}
lassign $argv xo part build_id
set here [file dirname [file normalize [info script]]]
source [file join $here .. .. sources.tcl]
set name slotwire_xrt
set frequency 250000000
set sets {package core clocks window frames outside xrt}
set work [file rootname [file normalize $xo]]

# A generic of the project does not come with a packaged kernel, a header does.
file mkdir $work.generated
set build_id_header [file join $work.generated slotwire_build_id.vh]
set channel [open $build_id_header w]
puts $channel "`define SLOTWIRE_BUILD_ID 32'h$build_id"
close $channel

create_project -force $name $work.project -part $part
read_verilog -sv [slotwire::modules $sets]
read_verilog [slotwire::verilog $sets]
set headers [concat [slotwire::headers] [list $build_id_header]]
add_files -norecurse $headers
set_property file_type {Verilog Header} [get_files $headers]
set_property include_dirs [concat [slotwire::include_directories] [list $work.generated]] [current_fileset]
add_files -fileset constrs_1 -norecurse [slotwire::constraints xrt]
set_property top $name [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir $work.ip -vendor slotwire -library kernel -taxonomy /KernelIP -import_files -set_current false
ipx::unload_core [file join $work.ip component.xml]
ipx::edit_ip_in_project -upgrade true -name edit_$name -directory $work.ip [file join $work.ip component.xml]
set core [ipx::current_core]
set_property core_revision 1 $core
# What is no parameter of a kernel is fixed.
foreach parameter [ipx::get_user_parameters -of_objects $core] {
  ipx::remove_user_parameter [get_property NAME $parameter] $core
}
foreach bus {s_axi_control m_axi_memory s_axis_rx m_axis_tx} {
  ipx::associate_bus_interfaces -busif $bus -clock ap_clk $core
}
ipx::associate_bus_interfaces -clock ap_clk -reset ap_rst_n $core
# The frequency that the link configurations ask for; the link may choose another one.
set parameter [ipx::add_bus_parameter -quiet FREQ_HZ [ipx::get_bus_interfaces ap_clk -of_objects $core]]
set_property value $frequency $parameter
set_property value_resolve_type user $parameter
# What sw_axi_master does: bursts of one beat, so many under way.
foreach {key value} {MAX_BURST_LENGTH 1 NUM_READ_OUTSTANDING 128 NUM_WRITE_OUTSTANDING 128} {
  set parameter [ipx::add_bus_parameter -quiet $key [ipx::get_bus_interfaces m_axi_memory -of_objects $core]]
  set_property value $value $parameter
  set_property value_source constant $parameter
}
set_property xpm_libraries {XPM_CDC XPM_MEMORY XPM_FIFO} $core
set_property sdx_kernel true $core
set_property sdx_kernel_type rtl $core
set_property supported_families {} $core
set_property auto_family_support_level level_2 $core
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity -kernel $core
ipx::save_core $core
close_project -delete

file delete -force $xo
package_xo -xo_path $xo -kernel_name $name -ip_directory $work.ip -kernel_xml [file join $here kernel.xml] -ctrl_protocol user_managed
close_project -delete
