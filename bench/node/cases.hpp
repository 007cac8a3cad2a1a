// The cases by name, and what they are given.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cluster.hpp"
#include "contender.hpp"
#include "figures.hpp"

namespace slotwire::bench {

/// How much is measured.
struct Scale {
  int runs = 5;
  std::size_t calls = 20'000;  ///< of a case with one caller in one run; other counts follow from it
  unsigned seconds = 2;        ///< of one run of a case that lasts, not counts
  std::size_t slots = 60'000;
};

/// What a case has around it.
class Stage {
 public:
  Stage(const Scale& scale, std::string extra, Figures& figures)
      : scale_(scale), extra_(std::move(extra)), figures_(figures) {}

  const Scale& scale() const { return scale_; }
  Figures& figures() { return figures_; }
  /// Two linked nodes in their default configuration, which all cases share. Started when they are first asked for.
  const fault::Cluster& pair();
  /// Nodes of a case's own, running. `more`: what their configuration has beside the services.
  std::unique_ptr<fault::Cluster> make_nodes(std::size_t nodes, const std::string& more = "",
                                             const std::string& carrier = "udp",
                                             const std::string& encryption = "none") const;
  /// Says on standard error what is being done.
  static void say(const std::string& text);

 private:
  Scale scale_;
  std::string extra_;
  Figures& figures_;
  std::unique_ptr<fault::Cluster> pair_;
};

struct Case {
  std::string name;
  void (*run)(Stage& stage, const std::string& name);
};
const std::vector<Case>& cases();

// Each in the file of its name.
void run_round_trips(Stage& stage, const std::string& name);
void run_calls(Stage& stage, const std::string& name);
void run_peers(Stage& stage, const std::string& name);
void run_hog(Stage& stage, const std::string& name);
void run_messages(Stage& stage, const std::string& name);
void run_opens(Stage& stage, const std::string& name);
void run_slots(Stage& stage, const std::string& name);
void run_idle(Stage& stage, const std::string& name);
void run_tunnel(Stage& stage, const std::string& name);

}  // namespace slotwire::bench
