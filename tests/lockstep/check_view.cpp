// check_view VIEW WAVEFORM: every signal that a GTKWave view names stands in an FST waveform. Exit 0: so it is.
#include <gtkwave/fstapi.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <string>

namespace {

/// The full names of all signals, without their ranges.
std::set<std::string> names_in(const char* file) {
  std::set<std::string> names;
  void* reader = fstReaderOpen(file);
  if (reader == nullptr) return names;
  while (const fstHier* entry = fstReaderIterateHier(reader)) {
    if (entry->htyp == FST_HT_SCOPE) {
      fstReaderPushScope(reader, entry->u.scope.name, nullptr);
    } else if (entry->htyp == FST_HT_UPSCOPE) {
      fstReaderPopScope(reader);
    } else if (entry->htyp == FST_HT_VAR) {
      std::string name = entry->u.var.name;
      const std::size_t range = name.find_first_of(" [");
      if (range != std::string::npos) name.resize(range);
      names.insert(std::string(fstReaderGetCurrentFlatScope(reader)) + "." + name);
    }
  }
  fstReaderClose(reader);
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: check_view VIEW WAVEFORM\n");
    return 2;
  }
  const std::set<std::string> names = names_in(argv[2]);
  if (names.empty()) {
    std::fprintf(stderr, "check_view: %s holds no signals\n", argv[2]);
    return 2;
  }
  std::ifstream view(argv[1]);
  unsigned found = 0, missing = 0;
  for (std::string line; std::getline(view, line);) {
    if (line.starts_with("+{")) line.erase(0, line.find("} ") + 2);
    if (!line.starts_with("card.")) continue;
    if (const std::size_t range = line.find('['); range != std::string::npos) line.resize(range);
    if (names.contains(line)) {
      ++found;
    } else {
      ++missing;
      std::printf("not in the waveform: %s\n", line.c_str());
    }
  }
  std::printf("%u signals found, %u missing\n", found, missing);
  return missing == 0 && found != 0 ? 0 : 1;
}
