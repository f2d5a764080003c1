// What an op is: one kind of step. Each op is one file in core/ops with its formula, shape rule, run,
// backward rule and cell terms.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tape/cell_terms.h"
#include "core/tape/program.h"
#include "kernels/backend.h"

namespace headlight {

class Differentiator;

/// A step's memory and kernels for its element type E (see StepMemory::typed).
template <class E>
struct TypedMemory {
  using Element = E;
  std::span<void* const> inputs;
  std::span<void* const> outputs;
  const kernels::TypedKernels<E>& kernels;

  [[nodiscard]] const E* in(size_t i) const { return static_cast<const E*>(inputs[i]); }
  [[nodiscard]] E* out(size_t i) const { return static_cast<E*>(outputs[i]); }
};

/// Memory of one step's buffers while it runs; null for an absent input or an output that is not
/// materialised. in() and out() are for what is fp32 in every program; what follows the step's element type
/// is reached through typed().
struct StepMemory {
  std::span<void* const> inputs;
  std::span<void* const> outputs;
  std::span<const Shape* const> input_shapes;
  std::span<const Shape* const> output_shapes;
  kernels::Backend& backend;
  ElementType element = ElementType::f32;

  [[nodiscard]] const float* in(size_t i) const { return static_cast<const float*>(inputs[i]); }
  [[nodiscard]] const int32_t* tokens(size_t i) const { return static_cast<const int32_t*>(inputs[i]); }
  [[nodiscard]] float* out(size_t i) const { return static_cast<float*>(outputs[i]); }
  /// The fp32 table, with the optimiser.
  [[nodiscard]] const kernels::Kernels& kernels() const { return backend.kernels(); }
  [[nodiscard]] kernels::Context& context() const { return backend.context(); }

  /// Calls body(TypedMemory<E>) for the step's element type.
  template <class Body>
  void typed(const Body& body) const {
    if (element == ElementType::bf16) {
      body(TypedMemory<kernels::bfloat16>{inputs, outputs, backend.typed<kernels::bfloat16>()});
    } else if (element == ElementType::f16) {
      body(TypedMemory<kernels::float16>{inputs, outputs, backend.typed<kernels::float16>()});
    } else {
      body(TypedMemory<float>{inputs, outputs, backend.typed<float>()});
    }
  }
};

/// Host values of a recorded run, as cell terms read them.
class CellReader {
 public:
  virtual ~CellReader() = default;
  /// Value of one element; throws Error when the buffer was not captured.
  [[nodiscard]] virtual double value(BufferId id, int64_t offset) const = 0;
  [[nodiscard]] virtual const Program& program() const = 0;
};

/// A piece of an equation: text in one meaning's colour.
struct EquationPart {
  enum class Meaning {
    plain,
    muted,
    query,
    key,
    value,
    attention,
    mlp,
    residual,
    norm,
    gradient,
    logits,
    position
  };
  std::string text;
  Meaning meaning = Meaning::plain;
};
using Equation = std::vector<EquationPart>;

/// One kind of step. Immutable; its attributes are members of the derived class.
class Op {
 public:
  virtual ~Op() = default;

  /// "softmax", "linear", …: the field's term, stable, used for icons, translations and tests.
  [[nodiscard]] virtual std::string_view kind() const = 0;
  /// The formula with its attributes' values ("A = softmax(S ∕ τ)", τ = 0.5).
  [[nodiscard]] virtual Equation equation() const = 0;
  /// Output shapes from input shapes (a null pointer for an absent input). Throws Error where they do not
  /// fit.
  [[nodiscard]] virtual std::vector<Shape> output_shapes(std::span<const Shape* const> inputs) const = 0;
  /// True where floating-point input i has the step's element type: activations, their gradients and weights.
  /// False where it is fp32 in every program: statistics, losses and gradients of parameters.
  [[nodiscard]] virtual bool follows_element(size_t) const { return true; }
  /// Element type of output i in a step of element type `element`.
  [[nodiscard]] virtual ElementType output_type(size_t, ElementType element) const { return element; }
  /// Buffer::pitch of output i.
  [[nodiscard]] virtual int64_t output_pitch(size_t) const { return 0; }
  /// The pitch with which input i is read: a buffer of another one is refused.
  [[nodiscard]] virtual int64_t input_pitch(size_t) const { return 0; }
  /// Buffer::spare of output i, and the least that input i must have.
  [[nodiscard]] virtual int64_t output_spare(size_t) const { return 0; }
  [[nodiscard]] virtual int64_t input_spare(size_t) const { return 0; }
  /// Calls the kernels.
  virtual void run(const StepMemory& memory) const = 0;
  /// Appends the steps that carry gradients from the outputs to the inputs. Ops that only occur behind the
  /// loss keep the default, which throws.
  virtual void backward(Differentiator& differentiator, const Step& step) const;
  /// How element `offset` of output number `output` came about.
  [[nodiscard]] virtual CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                          int64_t offset) const = 0;
  /// True where output i is written only when somebody reads or captures it.
  [[nodiscard]] virtual bool output_is_optional(size_t) const { return false; }
  /// Input whose memory output i may take over when nothing needs that input afterwards; −1: none.
  [[nodiscard]] virtual int in_place_input(size_t) const { return -1; }
  /// Floating-point operations, for the tree's measured rates; 0 where memory is the limit.
  [[nodiscard]] virtual double flops(std::span<const Shape* const>) const { return 0; }
};

}  // namespace headlight
