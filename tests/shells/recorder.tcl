# Runs a script for a tool of the vendor's with every command of that tool replaced by a recorder:
#
#   tclsh recorder.tcl LOG SETTING SCRIPT ARGUMENT...
#
# SETTING is a Tcl dictionary: `allowed`, the commands that there are; for the linker also `cells`, `interface_ports`, `ports` and
# `pins`, what the block design has, and `nets`, "pin net" for each pin that is connected. LOG gets a line for each call, a Tcl list. A
# command that is not allowed, or a file that is named and not there, is an error, as it is for the tool.
set recorder_log [open [lindex $argv 0] w]
set recorder_channel [open [lindex $argv 1]]
set recorder_setting [read $recorder_channel]
close $recorder_channel
set recorder_script [lindex $argv 2]
set argv [lrange $argv 3 end]
set argc [llength $argv]

proc recorder_has {what name} {
  return [expr {$name in [dict get $::recorder_setting $what]}]
}

# Of names, those that the design has; more than one pattern or a -of_objects are handled by the caller.
proc recorder_find {what arguments} {
  set found {}
  foreach name [lsearch -all -inline -not $arguments -quiet] {
    if {[recorder_has $what $name]} {
      lappend found $name
    }
  }
  if {$found eq "" && "-quiet" ni $arguments} {
    puts stderr "WARNING: no $what match '$arguments'"
  }
  return $found
}

proc recorder_must_exist {command files} {
  foreach file $files {
    if {![file isfile $file]} {
      error "$command: file '$file' does not exist"
    }
  }
}

rename unknown recorder_old_unknown
proc unknown {command args} {
  set command [string trimleft $command :]
  if {![recorder_has allowed $command]} {
    error "invalid command name \"$command\" (not among those that this tool is known to have)"
  }
  puts $::recorder_log [list $command {*}$args]
  flush $::recorder_log
  switch -- $command {
    read_verilog {
      recorder_must_exist $command [concat {*}[lsearch -all -inline -not -regexp $args {^-}]]
    }
    read_xdc {
      recorder_must_exist $command [list [lindex $args end]]
    }
    add_files {
      recorder_must_exist $command [lindex $args end]
    }
    package_xo {
      recorder_must_exist $command [list [dict get $args -kernel_xml]]
      close [open [dict get $args -xo_path] w]
    }
    get_files {
      return [lindex $args end]
    }
    current_fileset {
      return sources_1
    }
    ipx::current_core {
      return core
    }
    ipx::get_user_parameters {
      return {parameter_Slots parameter_Links}
    }
    get_property {
      return [string map {parameter_ {}} [lindex $args end]]
    }
    ipx::get_bus_interfaces {
      return "bus_[lindex $args 0]"
    }
    ipx::add_bus_parameter {
      return "[lindex $args end].[lindex $args end-1]"
    }
    get_bd_cells {
      return [recorder_find cells $args]
    }
    get_bd_intf_ports {
      return [recorder_find interface_ports $args]
    }
    get_bd_ports {
      return [recorder_find ports $args]
    }
    get_bd_pins - get_bd_intf_pins {
      return [recorder_find pins $args]
    }
    get_bd_nets {
      set pin [lindex $args end]
      set nets [dict get $::recorder_setting nets]
      return [expr {[dict exists $nets $pin] ? [dict get $nets $pin] : ""}]
    }
    disconnect_bd_net {
      dict unset ::recorder_setting nets [lindex $args 1]
    }
    connect_bd_net - connect_bd_intf_net {
      if {[llength $args] != 2 || [lindex $args 0] eq "" || [lindex $args 1] eq ""} {
        error "$command: needs two ends, has '$args'"
      }
      if {[dict exists [dict get $::recorder_setting nets] [lindex $args 1]]} {
        error "$command: '[lindex $args 1]' is connected already"
      }
    }
  }
}

source $recorder_script
# OpenNIC's script takes this variable over.
if {[info exists include_dirs]} {
  puts $recorder_log [list include_dirs {*}$include_dirs]
}
close $recorder_log
