// The right side: what the current buffer is, its statistics, and where the hovered or pinned cell comes
// from.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "app/views/chrome/chrome.h"
#include "app/views/pass_names.h"
#include "app/widgets/bars.h"

namespace headlight::app {
namespace {

constexpr size_t most_left_out_named = 12;
/// Statistics of more values than these would hold up a frame.
constexpr int64_t most_counted_at_once = 1 << 18;

/// Vertical cursor that lays rows below each other.
struct Column {
  const Ui& ui;
  Rect rest;

  void gap(float css) { rest.cut_top(ui.px(css)); }
  void section(std::string_view title) {
    gap(18);
    const Rect r = rest.cut_top(ui.line_height(TextStyle::section));
    ui.text_in(r, TextStyle::section, ui.theme().muted, upper(title));
    gap(8);
  }
  void row(std::string_view name, std::string_view value) {
    Rect r = rest.cut_top(ui.px(22));
    const float width = ui.measure(TextStyle::mono, value).x;
    ui.text_in(r.cut_right(width), TextStyle::mono, ui.theme().text, value, Align::right);
    r.cut_right(ui.px(8));
    ui.text_in(r, TextStyle::mono, ui.theme().muted, name);
  }
};

void statistics_rows(Column& column, const BufferStatistics& s) {
  const Ui& ui = column.ui;
  column.row(ui.tr("inspector.mean"), number_text(s.mean, 4));
  column.row(ui.tr("inspector.deviation"), number_text(s.standard_deviation, 4));
  column.row(ui.tr("inspector.range"),
             fmt::format("{} … {}", number_text(s.minimum), number_text(s.maximum)));
  if (s.non_finite > 0)
    column.row(ui.tr("inspector.non_finite"), fmt::format("{} ∕ {}", s.non_finite, s.count));
}

/// The histogram and its ends; `known` null while it is worked out.
void statistics_bars(Column& column, const BufferStatistics* known) {
  const Ui& ui = column.ui;
  const Theme& t = ui.theme();
  column.gap(10);
  const Rect bars = column.rest.cut_top(ui.px(64));
  if (known == nullptr)
    ui.text_in(bars, TextStyle::caption, t.muted, ui.tr("inspector.counting"));
  else
    histogram(ui, bars, known->histogram, t.bar);
  column.gap(3);
  const Rect ends = column.rest.cut_top(ui.line_height(TextStyle::mono_small));
  ui.text_in(ends, TextStyle::mono_small, t.muted, number_text(known != nullptr ? known->minimum : 0, 2));
  ui.text_in(ends, TextStyle::mono_small, t.muted, number_text(known != nullptr ? known->maximum : 0, 2),
             Align::right);
}

/// The same text with spaces that no line breaks at.
std::string unbroken(std::string text) {
  for (size_t at = text.find(' '); at != std::string::npos; at = text.find(' ', at + 2))
    text.replace(at, 1, "\u00a0");
  return text;
}

/// "[13, 3]" without the axes of length 1 in front.
std::string cell_index(const Shape& shape, int64_t offset) {
  const auto index = shape.index(offset);
  std::string text;
  bool leading = true;
  for (size_t i = 0; i < index.size(); ++i) {
    leading = leading && shape.size(i) == 1 && i + 1 < index.size();
    if (!leading) text += (text.empty() ? "" : ", ") + std::to_string(index[i]);
  }
  return "[" + text + "]";
}

/// The token that a cell is about: that of its row (query) or, for keys, of its column.
std::string cell_name(const ViewContext& c, const CellRef& ref, std::string* index_text) {
  const Buffer& buffer = c.run->program().buffer(ref.buffer);
  const auto index = buffer.shape.index(ref.offset);
  std::string token;
  for (size_t i = 0; i < index.size(); ++i) {
    const std::string_view letter = buffer.shape[i].letter;
    if (letter == "Tk" || letter == "T" || letter == "S") {
      const auto at = static_cast<size_t>(index[i] + (letter == "T" ? c.first_token() : 0));
      if (at < c.tokens.size()) {
        token = axis_text(c.tokens[at]);
        *index_text = std::to_string(at);
      }
    }
  }
  const bool over_keys =
      buffer.shape.rank() > 0 && (buffer.shape.axes().back().letter == "S" ||
                                  buffer.shape.last() == static_cast<int64_t>(c.tokens.size()));
  if (token.empty() || !over_keys) {
    // Cells of a vector: name the buffer and its column.
    *index_text = index.empty() ? "" : std::to_string(index.back());
    if (token.empty()) return short_name(buffer.name);
  }
  return token;
}

/// What the numbers behind a quotient look like: e^(s − m) ∕ Σ = value.
void provenance_numbers(const ViewContext& c, Column& column) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const CellTerms& terms = c.provenance->terms;
  const auto line = [&](std::string_view text, Color color) {
    const Rect r = column.rest.cut_top(ui.px(23));
    ui.text({r.x0, r.y0 + (r.height() - ui.line_height(TextStyle::mono)) / 2}, TextStyle::mono, color,
            ui.measure(TextStyle::mono, text).x <= r.width()
                ? std::string(text)
                : elide(ui.fonts(), TextStyle::mono, text, r.width()));
    return r;
  };
  const float tall = ui.paragraph(column.rest, TextStyle::mono, t.text, terms.formula);
  column.rest.cut_top(tall);
  column.gap(4);
  std::string before;
  if (terms.combine == CellTerms::Combine::quotient && !terms.terms.empty()) {
    double sum = 0;
    for (const CellTerm& term : terms.terms) sum += term.value;
    before = fmt::format("= {} ∕ {} = ", number_text(terms.terms[0].value), number_text(sum));
  } else if (terms.combine == CellTerms::Combine::root) {
    double sum = terms.constant;
    for (const CellTerm& term : terms.terms) sum += term.value;
    before = fmt::format("= √{} = ", number_text(sum));
  } else {
    before = fmt::format("= Σ {} {} = ", terms.terms.size(), ui.tr("inspector.terms"));
  }
  const Rect r = line(before, t.text);
  ui.text({r.x0 + ui.measure(TextStyle::mono, before).x,
           r.y0 + (r.height() - ui.line_height(TextStyle::mono_bold)) / 2},
          TextStyle::mono_bold, t.strong, number_text(terms.result));
}

void provenance_terms(const ViewContext& c, Column& column, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const CellTerms& terms = c.provenance->terms;
  std::vector<const CellTerm*> order;
  double all = 0;
  for (size_t i = 0; i < terms.terms.size(); ++i) {
    // A softmax lists the cell's own exponential first and again within the sum.
    order.push_back(&terms.terms[i]);
    all += std::abs(terms.terms[i].value);
  }
  const bool quotient = terms.combine == CellTerms::Combine::quotient;
  std::stable_sort(order.begin(), order.end(), [](const CellTerm* a, const CellTerm* b) {
    return std::abs(a->value) > std::abs(b->value);
  });
  const double largest = order.empty() ? 1 : std::max(std::abs(order[0]->value), 1e-30);
  const auto room =
      static_cast<size_t>(std::max(0.f, c.area.y1 - column.rest.y0 - ui.px(80)) / ui.px(bar_height));
  const size_t shown = std::min({order.size(), std::max<size_t>(room, 6), size_t{16}});
  std::vector<Bar> bars;
  for (size_t i = 0; i < shown; ++i) {
    const CellTerm& term = *order[i];
    Bar bar;
    if (!term.factors.empty()) bar.name = cell_name(c, term.factors[0], &bar.index);
    bar.value = quotient && all > 0 ? term.value / all : term.value;
    bar.length = quotient && all > 0 ? std::abs(term.value) / all : std::abs(term.value) / largest;
    const bool own = quotient && &term == &terms.terms[0];
    bar.color = own                           ? t.key
                : !quotient && term.value < 0 ? map_color(ColorMap::diverging, 0.1f, t.kind)
                                              : t.bar;
    bar.strong = own;
    bars.push_back(bar);
  }
  const Rect area{column.rest.x0, column.rest.y0, column.rest.x1,
                  column.rest.y0 + ui.px(bar_height) * static_cast<float>(shown) + 2};
  column.rest.y0 = area.y1;
  if (const auto i = bar_list(ui, "terms", area, bars, {}); i && !order[*i]->factors.empty()) {
    const CellRef& source = order[*i]->factors[0];
    commands.push("cell.pin",
                  fmt::format("{} {}", c.run->program().buffer(source.buffer).name, source.offset));
  }
  if (order.size() > shown) {
    double rest = 0;
    for (size_t i = shown; i < order.size(); ++i) rest += order[i]->value;
    column.row(fmt::format("+ {} {}", order.size() - shown, ui.tr("inspector.more")),
               number_text(quotient && all > 0 ? rest / all : rest));
  }
}

}  // namespace

HeldText held_text(const Ui& ui, const Run& run) {
  HeldText text;
  const auto add = [&](std::string& to, const std::string& what, const char* between) {
    to += (to.empty() ? "" : between) + what;
  };
  if (!run.left_out.empty()) {
    add(text.line,
        fmt::format(fmt::runtime(ui.tr("held")), unbroken(bytes_text(run.captured_bytes)),
                    unbroken(bytes_text(run.matched_bytes)), run.left_out.size()),
        "");
    // The largest first: they are what a class misses.
    std::vector<const Buffer*> buffers;
    for (const std::string& name : run.left_out)
      buffers.push_back(&run.program().buffer(run.program().require(name)));
    std::stable_sort(buffers.begin(), buffers.end(),
                     [](const Buffer* a, const Buffer* b) { return a->bytes() > b->bytes(); });
    add(text.about, ui.tr("held.about"), "");
    for (size_t i = 0; i < std::min(buffers.size(), most_left_out_named); ++i)
      add(text.about, fmt::format("{}  {}", buffers[i]->name, bytes_text(buffers[i]->bytes())), "\n");
    if (buffers.size() > most_left_out_named)
      add(text.about, fmt::format("+ {} {}", buffers.size() - most_left_out_named, ui.tr("inspector.more")),
          "\n");
  }
  if (run.steps_run < static_cast<int>(run.program().steps().size())) {
    const bool gradients = run.steps_run > run.program().range(Phase::backward).first;
    add(text.line, ui.tr(gradients ? "held.no_update" : "held.not_run"), " · ");
    add(text.about, ui.tr("tree.not_run"), "\n\n");
  }
  return text;
}

const BufferStatistics* Inspector::statistics_of(const std::shared_ptr<const Run>& run, const Part& part) {
  if (run->id != run_) {
    run_ = run->id;
    statistics_.clear();
  }
  if (working() && underway_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    BufferStatistics result = underway_.get();
    if (underway_run_ == run_) statistics_.insert_or_assign(underway_part_, std::move(result));
  }
  if (const auto it = statistics_.find(part); it != statistics_.end()) return &it->second;
  const std::span<const float> values = run->range(part.buffer, part.range);
  if (part.range.count <= most_counted_at_once) {
    const auto in_use = values_in_use(*run, part.buffer, part.range);
    return &statistics_.insert_or_assign(part, statistics(in_use ? *in_use : values)).first->second;
  }
  if (!working()) {
    underway_run_ = run_;
    underway_part_ = part;
    underway_ = std::async(std::launch::async, [run, values, part] {
      const auto in_use = values_in_use(*run, part.buffer, part.range);
      return statistics(in_use ? *in_use : values);
    });
  }
  return nullptr;
}

void Inspector::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  if (!c.run || c.step < 0) return;
  const float scroll = ImGui::GetScrollY();
  Column column{ui, c.area.inset(ui.px(20), ui.px(18))};
  column.rest.y0 -= scroll;
  column.rest.y1 = std::max(column.rest.y1 - scroll, column.rest.y0 + ui.px(900));

  const Program& program = c.run->program();
  const Step& step = program.step(c.step);
  BufferId id = c.provenance != nullptr ? c.provenance->cell.buffer : no_buffer;
  for (const BufferId output : step.outputs)
    if (id == no_buffer) id = output;
  if (id == no_buffer) return;
  const Buffer& buffer = program.buffer(id);

  const float name_height = ui.line_height(TextStyle::mono_large);
  const Rect name = column.rest.cut_top(name_height);
  ui.text(name.min(), TextStyle::mono_large, t.strong,
          ui.measure(TextStyle::mono_large, buffer.name).x <= name.width()
              ? buffer.name
              : elide(ui.fonts(), TextStyle::mono_large, buffer.name, name.width()));
  column.gap(4);
  // Lines may break behind a decimal point, so the size goes below where it does not fit beside.
  const std::string bytes = bytes_text(buffer.bytes());
  std::string facts = fmt::format("{}  {}", buffer.shape.lettered(), bytes);
  if (ui.measure(TextStyle::mono, facts).x > column.rest.width())
    facts = fmt::format("{}\n{}", buffer.shape.lettered(), bytes);
  column.rest.cut_top(ui.paragraph(column.rest, TextStyle::mono, t.muted, facts));

  // Of a buffer that is held in part, the head that is shown.
  const bool in_part = !c.run->has(id);
  const BufferPlane shown = buffer_plane(*c.run, id, c.head, PlaneRows::held);
  const Part part{id, in_part ? shown.extent() : ElementRange{0, buffer.shape.count()}};
  if (!c.run->has(id, part.range)) {
    column.gap(12);
    const bool over =
        std::find(c.run->left_out.begin(), c.run->left_out.end(), buffer.name) != c.run->left_out.end();
    const std::string_view why = !c.failure.empty() ? c.failure
                                 : c.recording      ? ui.tr("recording.buffer")
                                 : over             ? ui.tr("inspector.over_budget")
                                                    : ui.tr("inspector.not_captured");
    const Color ink = !c.failure.empty() ? t.warning : c.recording ? t.accent : t.muted;
    const float height = ui.paragraph(column.rest, TextStyle::caption, ink, why);
    (void)ui.press(!c.failure.empty() ? "inspector.failed"
                   : c.recording      ? "inspector.recording"
                                      : "inspector.missing",
                   column.rest.cut_top(height), false);
    // What the engine took of the buffer where it lay.
    if (const BufferStatistics* whole = c.run->statistics(id)) {
      column.section(ui.tr("inspector.statistics"));
      statistics_rows(column, *whole);
      statistics_bars(column, whole);
    }
  } else if (is_floating(buffer.type)) {
    std::string head = in_part && shown.has_heads
                           ? fmt::format(fmt::runtime(ui.tr("attention.head")), shown.plane_index)
                           : std::string();
    if (shown.plane.rows < shown.all_rows)
      head = fmt::format("{} {}–{} ∕ {}", shown.row_axis, shown.first_row,
                         shown.first_row + shown.plane.rows - 1, shown.all_rows);
    column.section(ui.tr("inspector.statistics") + (head.empty() ? "" : " · " + head));
    const BufferStatistics* known = statistics_of(c.run, part);
    statistics_rows(column, known != nullptr ? *known : BufferStatistics());
    if (copied_name(buffer.name).ends_with("hook_pattern")) {
      const int64_t keys = buffer.shape.last(), queries = std::max<int64_t>(shown.all_rows, 1);
      const int64_t row = c.provenance != nullptr && c.provenance->cell.buffer == id
                              ? c.provenance->cell.offset / keys
                              : buffer_plane(*c.run, id, c.head).first / keys + queries - 1;
      double entropy = 0;
      for (const float a : c.run->range(id, {row * keys, keys}))
        if (a > 0) entropy -= static_cast<double>(a) * std::log(static_cast<double>(a));
      column.row(fmt::format("{} {}", ui.tr("inspector.row_entropy"), c.first_token() + row % queries),
                 fmt::format("{} {}", number_text(entropy, 2), ui.tr("nats")));
    }
    statistics_bars(column, known);
  }

  if (c.provenance != nullptr) {
    const CellRef& cell = c.provenance->cell;
    const Buffer& source = program.buffer(cell.buffer);
    // Capitals for the words, the name as it is written.
    const std::string words = upper(ui.tr("inspector.from"));
    const std::string title =
        fmt::format(fmt::runtime(words),
                    fmt::format("{}{}", short_name(source.name), cell_index(source.shape, cell.offset)));
    column.gap(18);
    column.rest.cut_top(ui.paragraph(column.rest, TextStyle::section, t.muted, title));
    column.gap(8);
    if (!c.provenance->failure.empty()) {
      column.rest.cut_top(ui.paragraph(column.rest, TextStyle::caption, t.muted, c.provenance->failure));
    } else {
      provenance_numbers(c, column);
      column.gap(10);
      provenance_terms(c, column, commands);
    }
    column.gap(12);
  } else {
    column.gap(18);
  }
  column.rest.cut_top(
      ui.paragraph(column.rest, TextStyle::caption, t.muted,
                   ui.tr(c.session.state.pins.cell ? "inspector.hint_pinned" : "inspector.hint")));
  if (const HeldText held = held_text(ui, *c.run); !held.line.empty()) {
    column.gap(12);
    Rect line = column.rest;
    const float height = ui.paragraph(column.rest, TextStyle::caption, t.muted, held.line);
    line.y1 = line.y0 + height;
    column.rest.cut_top(height);
    if (ui.press("inspector.held", line).hovered) ui.tooltip(held.about);
  }
  ImGui::SetCursorScreenPos({c.area.x0, column.rest.y0 + ui.px(12)});
  ImGui::Dummy({1, 1});
}

}  // namespace headlight::app
