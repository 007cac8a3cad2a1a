# The card has the box's whole window of registers: no crossbar. OpenNIC's build wants a file of this name.
