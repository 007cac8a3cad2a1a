# Whether there is relacy, for searches under the memory model of C++; SLOTWIRE_NO_RELACY says why there is none.
find_path(RELACY_INCLUDE relacy/relacy.hpp)
set(SLOTWIRE_NO_RELACY "")
if(NOT RELACY_INCLUDE)
  set(SLOTWIRE_NO_RELACY "relacy is not there (Debian package relacy-dev)")
elseif(SLOTWIRE_SANITIZE)
  set(SLOTWIRE_NO_RELACY "relacy switches stacks in ways that sanitizers take for errors")
endif()
