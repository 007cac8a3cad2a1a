slotwire_test(gate_parts_test LABEL unit SOURCES gate_parts_test.cpp DEPENDS slotwire_gate_parts slotwire_sandbox)
slotwire_test(sandbox_test LABEL unit SOURCES sandbox_test.cpp DEPENDS slotwire_sandbox)
