#include "cases.hpp"

#include <cstdio>

namespace slotwire::bench {

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"call-1", run_calls},
      {"call-16", run_calls},
      {"call-64", run_calls},
      {"under-way-64", run_calls},
      {"one-way-64", run_messages},
      {"large-1MiB", run_messages},
      {"tunnel-iperf3", run_tunnel},
      {"tunnel-pgbench", run_tunnel},
      {"tunnel-wrk", run_tunnel},
      {"tunnel-redis", run_tunnel},
      {"peers-4", run_peers},
      {"open-remote", run_opens},
      {"open-local", run_opens},
      {"slots-60000", run_slots},
      {"hog", run_hog},
      {"idle", run_idle},
      {"round-trips", run_round_trips},
  };
  return all;
}

const fault::Cluster& Stage::pair() {
  if (!pair_) pair_ = make_nodes(2);
  return *pair_;
}

std::unique_ptr<fault::Cluster> Stage::make_nodes(std::size_t nodes, const std::string& more,
                                                  const std::string& carrier, const std::string& encryption) const {
  fault::ClusterOptions options;
  options.slotwired = SLOTWIRE_SLOTWIRED;
  options.nodes = nodes;
  options.carrier = carrier;
  options.encryption = encryption;
  options.extra = contender_services(nodes) + "[log]\nlevel = \"warn\"\n" + more + extra_;
  auto cluster = std::make_unique<fault::Cluster>(options);
  for (std::size_t node = 0; node < nodes; ++node) cluster->start(node);
  return cluster;
}

void Stage::say(const std::string& text) {
  std::fprintf(stderr, "bench_node: %s\n", text.c_str());
}

}  // namespace slotwire::bench
