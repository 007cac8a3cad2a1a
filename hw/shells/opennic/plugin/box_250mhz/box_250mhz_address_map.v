// The card has the box's whole window of registers: there is nothing to map. OpenNIC's build wants a file of this name.
