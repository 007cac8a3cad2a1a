// What a host has for DPDK, read from a tree of files like the kernel's.
#include "core/carriers/dpdk/host.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

namespace {

using namespace slotwire;
namespace fs = std::filesystem;
using Cpus = std::vector<unsigned>;

class DpdkHost : public ::testing::Test {
 protected:
  DpdkHost() {
    std::string path = (fs::temp_directory_path() / "slotwire-host-XXXXXX").string();
    root_ = ::mkdtemp(path.data());
    put("sys/devices/system/cpu/online", "0-7\n");
    put("sys/devices/system/cpu/isolated", "\n");
    for (unsigned cpu = 0; cpu < 8; ++cpu) {
      const std::string at = "sys/devices/system/cpu/cpu" + std::to_string(cpu);
      put(at + "/node" + std::to_string(cpu / 4) + "/there", "");
      put(at + "/topology/thread_siblings_list", std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4) + "\n");
    }
    put("sys/devices/system/node/node0/cpulist", "0-3\n");
    put("sys/devices/system/node/node1/cpulist", "4-7\n");
    pages(2048, 64, 40);
    put("sys/bus/pci/devices/0000:65:00.0/numa_node", "1\n");
    put("sys/bus/pci/devices/0000:66:00.0/numa_node", "-1\n");
    options_.device = "0000:65:00.0";
    options_.eal.memory = std::size_t{64} << 20;
  }
  ~DpdkHost() override { fs::remove_all(root_); }

  void put(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void pages(unsigned kib, unsigned all, unsigned free, unsigned reserved = 0, unsigned overcommit = 0) const {
    const std::string at = "sys/kernel/mm/hugepages/hugepages-" + std::to_string(kib) + "kB/";
    put(at + "nr_hugepages", std::to_string(all) + "\n");
    put(at + "free_hugepages", std::to_string(free) + "\n");
    put(at + "resv_hugepages", std::to_string(reserved) + "\n");
    put(at + "surplus_hugepages", "0\n");
    put(at + "nr_overcommit_hugepages", std::to_string(overcommit) + "\n");
  }
  std::string refused() const {
    try {
      host().require(options_, {0, 1, 2, 3, 4, 5, 6});
      return {};
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
  carriers::DpdkHost host() const { return carriers::DpdkHost(root_); }
  /// All of the advice, one sentence a line.
  std::string advice() const {
    std::string all;
    for (const std::string& said : host().advice(options_)) all += said + "\n";
    return all;
  }

  fs::path root_;
  carriers::DpdkOptions options_;
};

TEST(CpuList, IsReadAsTheKernelWritesIt) {
  EXPECT_EQ(carriers::parse_cpu_list("0-3,8\n"), (Cpus{0, 1, 2, 3, 8}));
  EXPECT_EQ(carriers::parse_cpu_list("5"), (Cpus{5}));
  EXPECT_EQ(carriers::parse_cpu_list("2,1-2"), (Cpus{1, 2}));
  for (const char* none : {"", "\n", "(null)", "-", "1-", "-1", "x-3"})
    EXPECT_EQ(carriers::parse_cpu_list(none), Cpus{}) << none;
  EXPECT_EQ(carriers::parse_cpu_list("1020-4000000000").back(), carriers::kMaxCpu);
  EXPECT_EQ(carriers::cpu_list({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(carriers::cpu_list({}), "");
}

TEST_F(DpdkHost, EnoughHugepagesOfAnySizeWillDo) {
  EXPECT_EQ(refused(), "");
  options_.eal.memory = std::size_t{80} << 20;
  EXPECT_EQ(refused(), "");
  options_.eal.memory = std::size_t{82} << 20;
  EXPECT_EQ(refused(),
            "dpdk: 82 MiB in hugepages are wanted (dpdk.memory), and free are 40 of 64 pages of 2 MiB; add 1 pages of "
            "2 MiB: write 65 to "
            "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages (for good: vm.nr_hugepages in /etc/sysctl.d), "
            "lower dpdk.memory, or "
            "set dpdk.hugepages = false");
  pages(1048576, 1, 1);
  EXPECT_EQ(refused(), "");
}

TEST_F(DpdkHost, PagesThatAreReservedAreNotFreeAndThoseMadeOnDemandAre) {
  pages(2048, 64, 40, 9);
  EXPECT_NE(refused().find("free are 31 of 64 pages of 2 MiB; add 1 pages"), std::string::npos) << refused();
  pages(2048, 64, 40, 9, 1);
  EXPECT_EQ(refused(), "");
  pages(2048, 0, 0);
  EXPECT_NE(refused().find("add 32 pages"), std::string::npos) << refused();
  options_.eal.hugepages = false;
  EXPECT_EQ(refused(), "");
}

TEST_F(DpdkHost, AKernelWithoutHugepagesIsNamed) {
  fs::remove_all(root_ / "sys/kernel/mm");
  EXPECT_EQ(refused(), "dpdk: this kernel has no hugepages; set dpdk.hugepages = false");
}

TEST_F(DpdkHost, ProcessorsThatAreNotThereOrNotAllowedAreNamed) {
  options_.eal.lcore = 8;
  EXPECT_NE(refused().find("there is no processor 8; this host has 0-7"), std::string::npos) << refused();
  options_.eal.lcore = 1;
  options_.queue_cpus = {2, 7};
  EXPECT_NE(refused().find("may not run on processor 7, only on 0-6"), std::string::npos) << refused();
  options_.queue_cpus = {2, 6};
  EXPECT_EQ(refused(), "");
}

TEST_F(DpdkHost, AdviceNamesProcessorsThatAreShared) {
  options_.queue_cpus = {5, 6};
  EXPECT_EQ(advice(),
            "processor 5-6 is not isolated: other work may run there and delay frames; isolcpus= and nohz_full= on the "
            "kernel's command line, or "
            "a cpuset of its own, keep it away\n");
  put("sys/devices/system/cpu/isolated", "4-7\n");
  EXPECT_EQ(advice(), "");
  options_.eal.lcore = 1;
  EXPECT_NE(advice().find("processors 1 and 5 are one core with two threads"), std::string::npos) << advice();
}

TEST_F(DpdkHost, AdviceNamesTheNodeOfThePort) {
  put("sys/devices/system/cpu/isolated", "0-7\n");
  options_.eal.lcore = 2;
  EXPECT_EQ(advice(), "processor 2 is on NUMA node 0, the port on node 1; processors of its node are 4-7\n");
  options_.device = "65:00.0,some=argument";
  EXPECT_EQ(advice(), "processor 2 is on NUMA node 0, the port on node 1; processors of its node are 4-7\n");
  options_.eal.lcore = -1;
  EXPECT_EQ(
      advice(),
      "the port is on NUMA node 1 and slotwired runs on any processor; set dpdk.lcore or dpdk.lcores to some of 4-7\n");
  for (const char* device : {"0000:66:00.0", "0000:67:00.0", "net_af_packet0,iface=eth0", "../../etc"}) {
    options_.device = device;
    EXPECT_EQ(advice(), "") << device;
  }
}

TEST_F(DpdkHost, AdviceNamesHugepagesThatLieIdle) {
  options_.device = "net_vhost0";
  options_.eal.hugepages = false;
  EXPECT_NE(advice().find("this host has free hugepages"), std::string::npos);
  pages(2048, 64, 0);
  EXPECT_EQ(advice(), "");
}

TEST(DpdkHostHere, IsReadableWhateverItHas) {
  const carriers::DpdkHost host;
  const Cpus online = host.online_cpus(), allowed = carriers::allowed_cpus();
  ASSERT_FALSE(online.empty());
  ASSERT_FALSE(allowed.empty());
  for (const unsigned cpu : allowed) EXPECT_NE(std::find(online.begin(), online.end(), cpu), online.end()) << cpu;
}

}  // namespace
