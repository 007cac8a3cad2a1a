// Which frames of an interface go to the port of the carrier; the kernel keeps all others. Runs in the kernel, before
// its network stack (XDP). The carrier looks at every frame again.
#include <linux/bpf.h>
// These need the one above.
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// The name and the key (the interface's receive queue) are what DPDK's driver expects.
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

// Filled in before the program is loaded: XdpObject in xdp.cpp, which finds it by the mark. In the order of the wire.
struct own_end {
  char mark[8];
  __u32 ip;
  __u16 port;
  __u16 vlan;
};
const volatile struct own_end own = {{'s', 'l', 'o', 't', 'w', 'i', 'r', 'e'}, 0, 0, 0};

struct ethernet {
  __u8 to[6], from[6];
  __be16 type;
} __attribute__((packed));
struct tag {
  __be16 control, type;
} __attribute__((packed));
struct ipv4 {
  __u8 version_length, service;
  __be16 length, id, fragment;
  __u8 ttl, protocol;
  __be16 checksum;
  __be32 from, to;
} __attribute__((packed));
struct udp {
  __be16 from, to, length, checksum;
} __attribute__((packed));
struct arp {
  __u8 kind[6];
  __be16 operation;
  __u8 sender_mac[6];
  __be32 sender;
  __u8 target_mac[6];
  __be32 target;
} __attribute__((packed));

SEC("xdp") int slotwire_steer(struct xdp_md* context) {
  const void* const end = (void*)(long)context->data_end;
  const struct ethernet* const eth = (void*)(long)context->data;
  if ((const void*)(eth + 1) > end) return XDP_PASS;
  const void* body = eth + 1;
  __be16 type = eth->type, vlan = 0;
  if (type == bpf_htons(0x8100)) {
    const struct tag* const tag = body;
    if ((const void*)(tag + 1) > end) return XDP_PASS;
    vlan = tag->control & bpf_htons(0x0fff);
    type = tag->type;
    body = tag + 1;
  }
  if (vlan != own.vlan) return XDP_PASS;
  int ours = 0;
  if (type == bpf_htons(0x0806)) {
    const struct arp* const arp = body;
    if ((const void*)(arp + 1) > end) return XDP_PASS;
    ours = arp->target == own.ip || arp->sender == own.ip;
  } else if (type == bpf_htons(0x0800)) {
    const struct ipv4* const ip = body;
    const struct udp* const udp = (const void*)(ip + 1);
    if ((const void*)(udp + 1) > end) return XDP_PASS;
    ours = ip->version_length == 0x45 && ip->protocol == 17 && (ip->fragment & bpf_htons(0x3fff)) == 0 &&
           ip->to == own.ip && udp->to == own.port;
  }
  // Without a socket in the map (slotwired was killed) the kernel gets these, too.
  return ours ? bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_PASS) : XDP_PASS;
}

char slotwire_license[] SEC("license") = "Apache-2.0";
