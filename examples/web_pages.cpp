// An executing server that answers with the files of one directory, which it reads when it starts.
//   example_web_pages SERVICE DIRECTORY
// Every response names the process in the field X-Served-By.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "slotwire_web.hpp"

namespace web = slotwire::web;

namespace {

const web::Server* running = nullptr;

void on_signal(int /*number*/) {
  running->stop();
}

/// Files by the path under which they are asked for.
using Pages = std::map<std::string, std::string, std::less<>>;

Pages read_directory(const char* directory) {
  Pages pages;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ostringstream content;
    content << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    pages["/" + entry.path().filename().string()] = std::move(content).str();
  }
  return pages;
}

/// Copies the page into the ring as the client takes it, however long it is.
void send(const web::ExchangePtr& x, const std::string& page, const std::string& self) {
  x->start(200, {{"content-type", "application/octet-stream"}, {"x-served-by", self}}, page.size());
  x->on_room([x, left = std::string_view(page)]() mutable {
    while (!left.empty()) {
      const auto written = x->write(left);
      if (!written) return;  // again: called when there is room
      left.remove_prefix(*written);
    }
    x->finish();
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s SERVICE DIRECTORY\n", argv[0]);
    return 2;
  }
  const Pages pages = read_directory(argv[2]);
  std::string self;
  auto server = web::Server::open({}, argv[1], [&](const web::ExchangePtr& x) {
    const auto page = pages.find(x->path());
    if (page == pages.end()) {
      x->respond(404, {{"content-type", "text/plain"}}, "there is no such file\n");
    } else {
      send(x, page->second, self);
    }
  });
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().text.c_str());
    return 1;
  }
  self = std::string(server->context().node()) + "/" + std::to_string(::getpid());
  running = &*server;
  std::signal(SIGTERM, on_signal);
  std::signal(SIGINT, on_signal);
  std::printf("serving '%s': %zu files\n", argv[1], pages.size());
  std::fflush(stdout);
  const auto ended = server->run();
  if (!ended) std::fprintf(stderr, "%s\n", ended.error().text.c_str());
  return ended ? 0 : 1;
}
