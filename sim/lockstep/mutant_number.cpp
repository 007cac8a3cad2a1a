// Which of the bugs in the mutated RTL is awake: the number in SLOTWIRE_MUTANT; 0 for none.
#include <cstdlib>

extern "C" int slotwire_mutant() {
  const char* number = std::getenv("SLOTWIRE_MUTANT");  // NOLINT(concurrency-mt-unsafe): before any thread
  return number == nullptr ? 0 : std::atoi(number);
}
