# HTTP over slots, without slots: heads and bodies of messages, FastCGI. What runs with nodes is in server_test.cpp, and in
# serve_*.py and bridge_*.py (tests/tools.cmake).
slotwire_test(web_http_test LABEL web SOURCES http_body_test.cpp http_error_lines_test.cpp http_fastcgi_test.cpp http_head_test.cpp
              DEPENDS slotwire_web_bridge slotwire_client)
slotwire_test(web_server_test LABEL web SOURCES server_test.cpp DEPENDS slotwire_node_fixture slotwire_web_server)
