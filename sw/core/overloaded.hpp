// A visitor of a std::variant made of functions, one for each of its types.
#pragma once

namespace slotwire {

/// std::visit(Overloaded{[](const A&) {...}, [](const B&) {...}}, variant).
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace slotwire
