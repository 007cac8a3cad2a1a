# Read by OpenNIC's build script, in the plugin's directory: the core and its shell. SLOTWIRE names the source tree of Slotwire if the
# plugin was copied out of it.
set slotwire [expr {[info exists ::env(SLOTWIRE)] ? $::env(SLOTWIRE) : [file join [pwd] .. .. .. ..]}]
if {![file exists [file join $slotwire hw sources.tcl]]} {
  error "no Slotwire source tree at $slotwire: set the environment variable SLOTWIRE to it"
}
source [file join $slotwire hw sources.tcl]
set slotwire_sets {package core clocks window chip level crossing window_cdc size opennic}
read_verilog -quiet -sv [slotwire::modules $slotwire_sets]
foreach slotwire_file [slotwire::constraints $slotwire_sets] {
  read_xdc -ref [file rootname [file tail $slotwire_file]] $slotwire_file
}
# OpenNIC's script sets the include directories from this variable afterwards.
lappend include_dirs {*}[slotwire::include_directories]
