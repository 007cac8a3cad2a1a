// A whole node between hostile processes and hostile peers. They send valid messages with hostile values, in any order,
// half close their channels, do not read, pass descriptors, write to their marks, die and come back; frames come in
// between. After each step the tables of the node agree with each other and no user holds more than its quota, and when
// all have gone nothing is left.
//
// An input's first byte: bit 0 isolates the pairs within the node, bit 1 encrypts the links. The rest is a row of
// steps.
#include "core/pipeline/frame.hpp"
#include "fuzzed_node.hpp"
#include "hostile_process.hpp"

namespace {

using namespace slotwire;
using namespace slotwire::fuzz;

constexpr std::size_t kMaxSteps = 96;
constexpr std::size_t kMaxSaid = 64;

class World {
 public:
  explicit World(Input& input) : World(input, input.byte()) {}

  void run() {
    begin();
    for (std::size_t step = 0; step < kMaxSteps && !input_.empty(); ++step) {
      act();
      node_.turn(1 + (std::uint64_t{input_.byte()} << input_.below(14)));
      for (const auto& process : processes_) process->listen();
    }
    finish();
  }

 private:
  World(Input& input, std::uint8_t how) : input_(input), node_((how & 1) != 0, (how & 2) != 0) {
    node_.start();
    const std::array<uid_t, 4> users = {::getuid(), FuzzedNode::kStranger, FuzzedNode::kStranger, FuzzedNode::kOther};
    for (const uid_t uid : users) processes_.push_back(std::make_unique<HostileProcess>(node_, ++last_pid_, uid));
  }

  /// What most attacks need: two processes with sessions, a service, and a peer that is up.
  void begin() {
    call("b");
    for (const std::size_t i : {0U, 1U, 3U}) {
      processes_[i]->connect();
      processes_[i]->ask(control::Hello{.version = control::kProcessVersion, .name = "p"});
    }
    node_.turn(1000);
    processes_[0]->ask(control::Serve{"x", 0});
    processes_[3]->ask(control::Serve{"y", 0});
    node_.turn(1000);
    for (const auto& process : processes_) process->listen();
  }

  void act() {
    switch (input_.below(16)) {
      case 0:
        return call(input_.below(4) == 0 ? std::string(input_.text(70)) : input_.below(4) == 0 ? "z" : "b");
      case 1:
      case 2:
      case 3:
      case 4:
        return say();
      case 5: {
        PeerEnd* const peer = any_peer();
        if (peer == nullptr) return;
        if (input_.below(2) == 0) peer->deaf = !peer->deaf;
        peer->told_bytes = 0;
        if (input_.below(2) == 0) {
          peer->ended = "it ended";
          peer->revoked = input_.below(4) == 0;
        }
        return peer->tell();
      }
      case 6:
        return frame();
      case 7:
        node_.network().refuses = input_.below(2) == 0;
        return node_.wire().set_up(!node_.wire().up());
      case 8:
        return replace_process();
      default:
        return processes_[input_.below(processes_.size())]->act(input_);
    }
  }

  void call(const std::string& name) {
    auto end = std::make_shared<PeerEnd>();
    node_.network().call(std::make_unique<PeerChannel>(end), hello(name), carriers::Address::parse("10.0.0.2:9"));
    if (end->there) peers_[name == "z" ? 1 : 0] = end;
  }
  control::PeerHello hello(const std::string& name) {
    control::PeerHello message;
    message.node = name;
    message.incarnation = 1 + input_.below(2);
    if (input_.below(8) == 0) message.version = input_.byte();
    if (input_.below(8) == 0) message.frame_lines = hostile_number<std::uint16_t>(input_);
    if (input_.below(2) == 0) message.encryption = "aes-128-gcm";
    return message;
  }
  PeerEnd* any_peer() {
    if (input_.below(3) == 0 && node_.network().dialled) return node_.network().dialled.get();
    PeerEnd* const peer = peers_[input_.below(2)].get();
    return peer != nullptr && peer->there ? peer : nullptr;
  }

  void say() {
    PeerEnd* const peer = any_peer();
    if (peer == nullptr || peer->said.size() >= kMaxSaid) return;
    const std::string text = input_.below(8) == 0 ? std::string(input_.text(2000)) : control::encode_peer(message());
    for (std::size_t i = input_.below(16) == 0 ? kMaxSaid : 1; i > 0; --i) peer->said.push_back(text);
    peer->tell();
  }
  std::uint16_t slot() { return hostile_number<std::uint16_t>(input_); }
  control::ProcessInfo process() {
    return {std::string(input_.text(80)), hostile_number<std::uint32_t>(input_), hostile_number<std::uint32_t>(input_)};
  }
  std::uint8_t order() { return input_.below(3) == 0 ? input_.byte() : static_cast<std::uint8_t>(6 + input_.below(4)); }

  control::PeerMessage message() {
    using namespace control;
    switch (input_.below(14)) {
      case 0:
        return hello("z");
      case 1:
        return PeerError{std::string(input_.text(1100))};
      case 2: {
        Sync sync;
        for (std::size_t i = input_.below(20); i > 0; --i) sync.pairs.push_back({slot(), slot(), slot()});
        sync.last = input_.below(2) == 0;
        return sync;
      }
      case 3:
      case 4:
      case 5:
        return Open{.id = hostile_number<std::uint64_t>(input_),
                    .service = service_name(input_),
                    .slot = slot(),
                    .epoch = slot(),
                    .in_order = order(),
                    .out_order = order(),
                    .in_first = hostile_number<std::uint32_t>(input_),
                    .out_first = hostile_number<std::uint32_t>(input_),
                    .from = process()};
      case 6:
      case 7:
        return Opened{.id = hostile_number<std::uint64_t>(input_), .slot = slot(), .to = process()};
      case 8:
        return Refused{.id = hostile_number<std::uint64_t>(input_),
                       .code = std::string(input_.text(40)),
                       .text = std::string(input_.text(1100))};
      case 9:
        return PeerClose{.slot = input_.below(2) == 0 ? PeerClose::kUnknownSlot : std::int32_t{slot()},
                         .from_slot = slot(),
                         .epoch = slot(),
                         .reason = static_cast<End>(input_.below(6))};
      case 10:
        return Key{.key = hostile_number<std::uint32_t>(input_),
                   .suite = input_.below(4) == 0 ? std::string(input_.text(33)) : "aes-128-gcm",
                   .secret = std::string(input_.below(4) == 0 ? 31 : 32, 'a'),
                   .salt = std::string(input_.below(4) == 0 ? 23 : 24, 'b')};
      case 11:
        return KeyTaken{hostile_number<std::uint32_t>(input_)};
      case 12:
        return input_.below(2) == 0 ? PeerMessage(Ping{}) : PeerMessage(Pong{});
      default:
        return UnknownMessage{"later"};
    }
  }

  /// A frame from the peer: its header is right or of the input, its check sequence mostly right.
  void frame() {
    pipeline::Header header;
    header.type = static_cast<regs::FrameType>(input_.below(6));
    header.flags = input_.byte();
    header.dst_slot = slot();
    header.src_slot = slot();
    header.epoch = slot();
    header.seq = hostile_number<std::uint32_t>(input_);
    header.ack = hostile_number<std::uint32_t>(input_);
    header.credit = slot();
    sim::Bytes bytes(regs::kHeaderBytes + (input_.below(4) * regs::kLineBytes));
    const auto head = std::span(bytes).first<regs::kHeaderBytes>();
    pipeline::encode(header, head);
    header.crc = pipeline::frame_crc(head, std::span(bytes).subspan(regs::kHeaderBytes));
    if (input_.below(16) == 0) ++header.crc;
    pipeline::encode(header, head);
    if (input_.below(16) == 0) bytes.resize(input_.byte() % bytes.size());
    node_.wire().send(1, bytes);
  }

  void replace_process() {
    auto& process = processes_[input_.below(processes_.size())];
    process->die(input_.below(4) == 0);
    left_.push_back(std::move(process));
    const std::array<uid_t, 3> users = {::getuid(), FuzzedNode::kStranger, FuzzedNode::kOther};
    process = std::make_unique<HostileProcess>(node_, ++last_pid_, users[input_.below(users.size())]);
  }

  /// All go. What they held comes back.
  void finish() {
    for (const auto& process : processes_) {
      process->hang_up();
      process->die(false);
    }
    left_.clear();
    for (const auto& peer : peers_) {
      if (!peer) continue;
      peer->ended = "it ended";
      peer->tell();
    }
    node_.network().refuses = true;
    if (node_.network().dialled) {
      node_.network().dialled->ended = "it ended";
      node_.network().dialled->tell();
    }
    // limits.linger and limits.handshake are over by then.
    constexpr int kTurns = 12;
    for (int i = 0; i < kTurns; ++i) node_.turn(1'000'000);
    engine::Node& node = node_.node();
    require(node.slots().used() == 0 && node.sessions().used() == 0 && node.connector().pending() == 0);
    require(node.slots().memory().free_bytes == node.slots().memory().total_bytes);
    require(node_.store().size() == 1 && node.hub().clients() == 0);
    for (std::size_t resource = 0; resource < engine::kResources; ++resource) {
      require(node.users().total(static_cast<engine::Resource>(resource)) == 0);
    }
    require(node.users().users() == 0);
  }

  Input& input_;
  FuzzedNode node_;
  std::vector<std::unique_ptr<HostileProcess>> processes_, left_;
  std::array<std::shared_ptr<PeerEnd>, 2> peers_;
  pid_t last_pid_ = 1000;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  World(input).run();
  return 0;
}
