/* The C ABI: connects to a service, calls it once, prints the answer.
 *   hello [SERVICE] [TEXT] */
#include <slotwire.h>
#include <stdio.h>
#include <string.h>

static int fail(const char* what, int status) {
  fprintf(stderr, "hello: %s: %s: %s\n", what, sw_status_name(status), sw_last_error());
  return 1;
}

int main(int argc, char** argv) {
  const char* service = argc > 1 ? argv[1] : "echo";
  const char* text = argc > 2 ? argv[2] : "hello";
  sw_context* context = NULL;
  int status = sw_open(NULL, &context);
  if (status != SW_OK) return fail("no session", status);

  sw_connection* connection = NULL;
  status = sw_connect(context, service, NULL, 5000, &connection);
  if (status == SW_OK) {
    struct sw_message answer;
    SW_INIT(answer);
    status = sw_call(connection, 1, text, strlen(text), 1000, &answer);
    if (status == SW_OK) printf("%.*s\n", (int)answer.length, (const char*)answer.data);
    if (status == SW_OK || status == SW_REMOTE_ERROR) sw_release(connection, &answer);
  }
  if (status != SW_OK) fail(service, status);
  sw_connection_close(connection);
  sw_close(context);
  return status == SW_OK ? 0 : 1;
}
