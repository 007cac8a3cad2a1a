# Run by v++ at the end of its system link (param compiler.userPostSysLinkOverlayTcl), in the block design that it has made: connects
# the transceivers of the card's first port, their reference clock and the free-running clock to the network kernel. The link
# configurations cannot: the platform's names for them differ from card to card, and v++ gives every free clock of a kernel the
# kernel clock.
namespace eval slotwire_link {
  variable kernel cmac_0

  # A platform has one of each of these.
  variable ports {
    {io_clk_qsfp_refclka_00 io_gt_qsfp_00}
    {io_clk_gtyquad_refclk0_00 io_gt_gtyquad_00}
    {io_clk_qsfp0_refclka_00 io_gt_qsfp0_00}
  }
  variable free_clocks {
    {port clk_gt_freerun}
    {pin ii_level1_wire/ulp_m_aclk_freerun_ref_00}
    {pin ii_level0_wire/ulp_m_aclk_freerun_ref_00}
    {pin blp_s_aclk_freerun_ref_00}
  }

  proc fail {what} {
    error "connect_network.tcl: $what; look at 'platforminfo -v' for the platform's names, and add them to the tables of this file"
  }

  proc connect {} {
    variable kernel
    variable ports
    variable free_clocks
    if {[llength [get_bd_cells -quiet $kernel]] != 1} {
      fail "the design has no $kernel"
    }
    set clock ""
    foreach pair $ports {
      lassign $pair clock transceivers
      if {[llength [get_bd_intf_ports -quiet $clock]] == 1 && [llength [get_bd_intf_ports -quiet $transceivers]] == 1} break
      set clock ""
    }
    if {$clock eq ""} {
      fail "the platform has none of the ports [lmap pair $ports {join $pair { and }}]"
    }
    connect_bd_intf_net [get_bd_intf_ports $transceivers] [get_bd_intf_pins $kernel/gt_serial_port0]
    connect_bd_intf_net [get_bd_intf_ports $clock] [get_bd_intf_pins $kernel/gt_refclk0]

    set source ""
    foreach free $free_clocks {
      lassign $free kind name
      set source [expr {$kind eq "port" ? [get_bd_ports -quiet $name] : [get_bd_pins -quiet $name]}]
      if {[llength $source] == 1} break
      set source ""
    }
    if {$source eq ""} {
      fail "the platform has none of the free-running clocks [lmap free $free_clocks {lindex $free 1}]"
    }
    set pin [get_bd_pins $kernel/clk_gt_freerun]
    # v++ has connected it to the kernel clock, which is not running when the transceivers start.
    set net [get_bd_nets -quiet -of_objects $pin]
    if {[llength $net] != 0} {
      disconnect_bd_net $net $pin
    }
    connect_bd_net $source $pin
    puts "connect_network.tcl: $kernel has $transceivers, $clock and $name"
  }
}
slotwire_link::connect
