/* Both ends of a connection in one thread: prints "c: answer" if a call came back as it should. */
#include <slotwire.h>
#include <stdio.h>
#include <string.h>

#define CHECK(call)                                                                    \
  do {                                                                                 \
    const int status = (call);                                                         \
    if (status != SW_OK) {                                                             \
      fprintf(stderr, "%s: %s: %s\n", #call, sw_status_name(status), sw_last_error()); \
      return 1;                                                                        \
    }                                                                                  \
  } while (0)

int main(void) {
  sw_context *client = NULL, *server = NULL;
  sw_service* service = NULL;
  sw_connection *here = NULL, *there = NULL;
  struct sw_message message;
  uint32_t id = 0;
  CHECK(sw_open(NULL, &server));
  CHECK(sw_open(NULL, &client));
  CHECK(sw_serve(server, "consumer", NULL, &service));
  CHECK(sw_connect(client, "consumer", NULL, 5000, &here));
  CHECK(sw_accept(service, 5000, &there));
  CHECK(sw_start_call(here, 1, "question", 8, 5000, &id));
  SW_INIT(message);
  CHECK(sw_receive(there, 5000, &message));
  if (message.kind != SW_REQUEST || message.length != 8 || memcmp(message.data, "question", 8) != 0) return 1;
  CHECK(sw_reply(there, message.id, "answer", 6, 5000));
  sw_release(there, &message);
  SW_INIT(message);
  CHECK(sw_receive(here, 5000, &message));
  if (message.kind != SW_REPLY || message.id != id) return 1;
  printf("c: %.*s\n", (int)message.length, (const char*)message.data);
  sw_release(here, &message);
  sw_connection_close(here);
  sw_connection_close(there);
  sw_service_close(service);
  sw_close(client);
  sw_close(server);
  return 0;
}
