foreach(part buddy config credentials directory keeper log notify policy)
  slotwire_test(engine_${part}_test LABEL unit SOURCES engine_${part}_test.cpp DEPENDS slotwire_engine)
  target_compile_definitions(engine_${part}_test PRIVATE SLOTWIRE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endforeach()
