# Reads sources.list, for the scripts of the shells. Each procedure returns absolute paths.
namespace eval slotwire {
  variable here [file dirname [file normalize [info script]]]

  # The files of the sets whose ending is one of `endings`, in the order of the list. A set that is not in the list is an error.
  proc files {sets endings} {
    variable here
    set channel [open [file join $here sources.list]]
    set lines [split [read $channel] "\n"]
    close $channel
    set found {}
    set known {}
    foreach line $lines {
      if {[regexp {^\s*(#.*)?$} $line]} continue
      if {[llength $line] != 2} {
        error "sources.list: '$line' is not a set and a file"
      }
      lassign $line name file
      lappend known $name
      if {$name in $sets && [file extension $file] in $endings} {
        lappend found [file join $here $file]
      }
    }
    foreach name $sets {
      if {$name ni $known} {
        error "sources.list has no set '$name'; it has: [lsort -unique $known]"
      }
    }
    return $found
  }

  proc modules {sets} { return [files $sets {.sv}] }
  proc verilog {sets} { return [files $sets {.v}] }
  proc headers {} { return [files header {.svh .vh}] }
  proc constraints {sets} { return [files $sets {.xdc}] }
  # The directories of the headers.
  proc include_directories {} {
    set directories {}
    foreach file [headers] {
      lappend directories [file dirname $file]
    }
    return [lsort -unique $directories]
  }
}
