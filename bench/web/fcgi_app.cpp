// The application of the FastCGI contender: answers /1k and /64k with so many bytes. One process, one request at a
// time.
//   bench_web_fcgi    accepts on descriptor 0, as spawn-fcgi and systemd pass it
#include <fcgiapp.h>

#include <cstdio>
#include <cstring>
#include <string>

int main() {
  FCGX_Init();
  FCGX_Request request;
  FCGX_InitRequest(&request, 0, 0);
  const std::string small(1024, 'x'), large(65536, 'x');
  while (FCGX_Accept_r(&request) >= 0) {
    const char* path = FCGX_GetParam("SCRIPT_NAME", request.envp);
    const std::string& body = path != nullptr && std::strcmp(path, "/64k") == 0 ? large : small;
    FCGX_FPrintF(request.out, "Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n", static_cast<int>(body.size()));
    FCGX_PutStr(body.data(), static_cast<int>(body.size()), request.out);
    FCGX_Finish_r(&request);
  }
}
