// Asks one application regularly whether it is well, by a request and the status that is expected of it.
#pragma once
#include <string>

#include "web/bridge/bridge.hpp"
#include "web/bridge/fastcgi_status.hpp"

namespace slotwire::web::bridge {

/// One thread. At most one request is under way. An application that is being started is not asked.
class HealthCheck final : public Source {
 public:
  HealthCheck(Bridge& bridge, const Application& application);
  ~HealthCheck() override;
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  void start();
  void on_events(std::uint32_t events) override;

 private:
  void ask();
  void send();
  void receive();
  void understand_http(std::string_view bytes);
  void understand_fastcgi(std::string_view bytes);
  void judge(const std::string& status);
  void over(bool good, const std::string& why);

  Bridge& bridge_;
  const Application& application_;
  Timer timer_;
  slot::Fd fd_;
  std::string request_, answer_;
  fastcgi::StatusReader reader_;
  std::size_t sent_ = 0;
  std::uint32_t against_ = 0;  ///< answers in a row that speak against what is thought
};

}  // namespace slotwire::web::bridge
