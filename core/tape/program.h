// A program: an immutable list of named steps over a table of named buffers. Forward, loss, backward and
// update are ranges of the same list. Built by core/model/builder.h, rewritten by core/tape/rewrite.h,
// executed by core/run/executor.h, walked by every view.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tape/element.h"
#include "core/tape/shape.h"

namespace headlight {

class Op;

/// Index into Program::buffers().
using BufferId = int32_t;
inline constexpr BufferId no_buffer = -1;

/// What a buffer is for.
enum class Role {
  input,       ///< tokens, targets, the optimiser's schedule: given with each run
  parameter,   ///< a weight; lives in Parameters and outlasts the run
  moment,      ///< AdamW's m and v; likewise
  state,       ///< a cache of keys or values; outlasts the run, and a step may write over it
  activation,  ///< written by a forward or loss step
  gradient,    ///< written by a backward step
  update,      ///< written by an update step: a new weight or moment
};

/// A named value. Single assignment: one writer (or none for inputs, parameters and moments), one value in a
/// run.
struct Buffer {
  std::string name;
  Shape shape;
  Role role = Role::activation;
  ElementType type = ElementType::f32;
  /// Index of the step that writes it, −1 where none does.
  int writer = -1;
  /// Elements from the start of a row (of the last axis) to the next where rows have a gap behind them that
  /// nobody reads; 0: they lie side by side.
  int64_t pitch = 0;
  /// Elements behind the last one that belong to the buffer, for steps that know of them.
  int64_t spare = 0;
  [[nodiscard]] size_t bytes() const {
    const int64_t elements = (pitch == 0 ? shape.count() : shape.rows() * pitch) + spare;
    return static_cast<size_t>(elements) * element_bytes(type);
  }
};

enum class Phase { forward, loss, backward, update };

/// One named step: an op applied to buffers.
struct Step {
  std::string name;  ///< the name of its first output
  std::shared_ptr<const Op> op;
  std::vector<BufferId> inputs;   ///< no_buffer where an optional input is absent
  std::vector<BufferId> outputs;  ///< no_buffer where an optional output is not wanted
  Phase phase = Phase::forward;
  int block = -1;  ///< the block it belongs to; −1 before the first and after the last
  /// Type of the activations, gradients of activations and weights that it reads and writes (see
  /// Op::follows_element).
  ElementType element = ElementType::f32;
  /// Names of buffers that a rewrite no longer materialises and this step stands for; the stepper greys them.
  std::vector<std::string> fused_away;
};

/// The immutable list. Make one with ProgramBuilder.
class Program {
 public:
  [[nodiscard]] const std::vector<Buffer>& buffers() const { return buffers_; }
  [[nodiscard]] const std::vector<Step>& steps() const { return steps_; }
  [[nodiscard]] const Buffer& buffer(BufferId id) const { return buffers_[static_cast<size_t>(id)]; }
  [[nodiscard]] const Step& step(int i) const { return steps_[static_cast<size_t>(i)]; }
  /// The buffer of that name or alias (an alias is a second name for the same value:
  /// `blocks.1.hook_resid_pre` is `blocks.0.hook_resid_post`).
  [[nodiscard]] std::optional<BufferId> find(std::string_view name) const;
  /// find() or an Error that names the nearest buffer.
  [[nodiscard]] BufferId require(std::string_view name) const;
  /// Buffers whose name or alias matches the glob (`*` any run of characters, `?` one), in table order.
  [[nodiscard]] std::vector<BufferId> match(std::string_view glob) const;
  [[nodiscard]] const std::map<std::string, BufferId, std::less<>>& aliases() const { return aliases_; }
  /// Steps of a phase as [first, last).
  struct Range {
    int first = 0, last = 0;
  };
  [[nodiscard]] Range range(Phase phase) const;
  /// B and T that the program was built for.
  [[nodiscard]] int64_t B() const { return B_; }
  [[nodiscard]] int64_t T() const { return T_; }

 private:
  friend class ProgramBuilder;
  std::vector<Buffer> buffers_;
  std::vector<Step> steps_;
  std::map<std::string, BufferId, std::less<>> names_;
  std::map<std::string, BufferId, std::less<>> aliases_;
  int64_t B_ = 1, T_ = 1;
};

/// Appends buffers and steps; hands out the finished program.
class ProgramBuilder {
 public:
  ProgramBuilder(int64_t B, int64_t T) {
    program_.B_ = B;
    program_.T_ = T;
  }
  /// Continues an existing program.
  explicit ProgramBuilder(const Program& program) : program_(program) {}
  /// A buffer that no step writes.
  BufferId declare(std::string name, Shape shape, Role role, ElementType type = ElementType::f32);
  /// Appends `op` on `inputs`; its outputs get `names` (an empty name: that optional output is not wanted).
  /// Throws Error where inputs that must share one element type do not.
  std::vector<BufferId> append(std::shared_ptr<const Op> op, std::vector<BufferId> inputs,
                               const std::vector<std::string>& names);
  /// append() for an op with one output.
  BufferId apply(std::shared_ptr<const Op> op, std::vector<BufferId> inputs, std::string name);
  /// A second name for the same value.
  void alias(std::string name, BufferId id);
  /// Steps appended from now on belong to this phase and block.
  void enter(Phase phase, int block);
  /// The last step stands for these buffers, which a rewrite no longer materialises.
  void note_fused_away(std::vector<std::string> names);
  [[nodiscard]] const Program& peek() const { return program_; }
  [[nodiscard]] const Buffer& buffer(BufferId id) const { return program_.buffer(id); }
  [[nodiscard]] std::shared_ptr<const Program> finish();

 private:
  [[nodiscard]] ElementType step_element(const Op& op, const std::vector<BufferId>& inputs) const;

  Program program_;
  Phase phase_ = Phase::forward;
  int block_ = -1;
};

/// True where `text` matches `glob` (`*`, `?`).
[[nodiscard]] bool glob_matches(std::string_view glob, std::string_view text);

}  // namespace headlight
