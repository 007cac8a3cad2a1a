// Runs a fuzz target without libFuzzer, on any compiler: on every file of the directories that are given, and on a
// number of variations of each that are the same every time.
//
//   <target>_replay VARIATIONS DIRECTORY...
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A few changes of the kinds that libFuzzer begins with.
Bytes vary(Bytes bytes, std::mt19937& random) {
  constexpr std::uint8_t kHostile[] = {0, 1, 0x7f, 0x80, 0xff};
  const auto changes = 1 + random() % 4;
  for (std::uint_fast32_t i = 0; i < changes; ++i) {
    const std::size_t at = bytes.empty() ? 0 : random() % bytes.size();
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (bytes.empty() ? 0 : random() % 5) {
      case 0:
        bytes.insert(place, static_cast<std::uint8_t>(random()));
        break;
      case 1:
        *place = static_cast<std::uint8_t>(random());
        break;
      case 2:
        *place = kHostile[random() % std::size(kHostile)];
        break;
      case 3:
        bytes.erase(place);
        break;
      default:
        bytes.resize(at);
    }
  }
  return bytes;
}

void run(const Bytes& bytes) {
  // In memory of its own, so that a look beyond its end is found by a sanitizer.
  const Bytes exactly = bytes;
  LLVMFuzzerTestOneInput(exactly.data(), exactly.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s VARIATIONS DIRECTORY...\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (int i = 2; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());  // the same order on every machine
  std::mt19937 random(1);
  const int variations = std::atoi(argv[1]);
  for (const std::filesystem::path& path : files) {
    const Bytes seed = contents(path);
    std::fprintf(stderr, "%s\n", path.c_str());
    run(seed);
    for (int i = 0; i < variations; ++i) run(vary(seed, random));
  }
  std::printf("%zu inputs, %d variations of each\n", files.size(), variations);
  return files.empty() ? 1 : 0;
}
