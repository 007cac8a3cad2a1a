# HTTP over slots, without slots: heads and bodies of messages, FastCGI. What runs with nodes is in serve_*.py and bridge_*.py
# (tests/tools.cmake).
slotwire_test(web_http_test LABEL web SOURCES http_body_test.cpp http_fastcgi_test.cpp http_head_test.cpp
              DEPENDS slotwire_web_bridge slotwire_client)
