// Finds and loads the module with the DPDK carrier.
#include <dlfcn.h>

#include <filesystem>
#include <stdexcept>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/dpdk/host.hpp"

namespace slotwire::carriers {
namespace {

std::string loading_error() {
  const char* const text = ::dlerror();
  return text == nullptr ? "unknown error" : text;
}

/// Beside the program: as it was built, and as it is installed.
std::filesystem::path module_path() {
  namespace fs = std::filesystem;
  const fs::path bin = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path places[] = {bin / ".." / "lib", bin / ".." / SLOTWIRE_LIBDIR / "slotwire"};
  for (const fs::path& place : places) {
    std::error_code none;
    fs::path file = fs::canonical(place / kDpdkModuleFile, none);
    if (!none) return file;
  }
  throw std::runtime_error(std::string("dpdk: the module ") + kDpdkModuleFile + " is neither in " +
                           places[0].lexically_normal().string() + " nor in " + places[1].lexically_normal().string() +
                           "; install libdpdk-dev and build again, or use carrier = \"udp\"");
}

const DpdkModule& load() {
  const std::filesystem::path path = module_path();
  // Never unloaded: EAL has threads of its own.
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    throw std::runtime_error("dpdk: " + path.string() + " cannot be loaded: " + loading_error() +
                             "; is DPDK (libdpdk-dev, or the libraries it brings) installed?");
  }
  const auto* const module = static_cast<const DpdkModule*>(::dlsym(library, kDpdkModuleSymbol));
  if (module == nullptr) throw std::runtime_error("dpdk: " + path.string() + " is no module: " + loading_error());
  if (std::string_view(module->version) != SLOTWIRE_VERSION || module->options_bytes != sizeof(DpdkOptions)) {
    throw std::runtime_error("dpdk: " + path.string() + " is of version " + module->version +
                             ", this program of version " SLOTWIRE_VERSION "; install both from one release");
  }
  return *module;
}

const DpdkModule& module() {
  static const DpdkModule& one = load();
  return one;
}

}  // namespace

std::unique_ptr<DpdkCarrier> open_dpdk(const DpdkOptions& options) {
  DpdkHost().require(options, allowed_cpus());
  return module().open(options);
}

std::unique_ptr<CipherLibrary> open_dpdk_ciphers(const EalOptions& eal, std::size_t most) {
  return module().ciphers(eal, most);
}

}  // namespace slotwire::carriers
