# Read by OpenNIC's build script, in the plugin's directory: the core and its shell. SLOTWIRE names the source tree of Slotwire if the
# plugin was copied out of it.
set slotwire [expr {[info exists ::env(SLOTWIRE)] ? $::env(SLOTWIRE) : [file join [pwd] .. .. .. ..]}]
set rtl [file join $slotwire hw rtl]
if {![file exists [file join $rtl gen slotwire_pkg.sv]]} {
  error "no Slotwire source tree at $slotwire: set the environment variable SLOTWIRE to it"
}
# The package comes first; slotwire_card is the core in a shell of its own.
read_verilog -quiet -sv [file join $rtl gen slotwire_pkg.sv]
foreach file [glob [file join $rtl slotwire_*.sv] [file join $rtl gen sw_crc*.sv] [file join $rtl prim *.sv] [file join $rtl axi *.sv] \
                [file join $slotwire hw shells opennic slotwire_opennic.sv]] {
  if {[file tail $file] ne "slotwire_card.sv"} {
    read_verilog -quiet -sv $file
  }
}
# OpenNIC's script sets the include directories from this variable afterwards.
lappend include_dirs $rtl [file join $rtl prim]
