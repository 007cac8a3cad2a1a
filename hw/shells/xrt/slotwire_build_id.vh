// First 32 bits of the source revision: none. What lint and simulations read; package_kernel.tcl writes the one that is packaged.
`define SLOTWIRE_BUILD_ID 32'd0
