// See metrics.h.
#include "core/train/metrics.h"

#include <cerrno>
#include <cmath>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/io/atomic_file.h"

namespace headlight {

namespace {

/// The shortest text that reads back as the same double; `absent` for what is not finite.
std::string number(double value, const char* absent) {
  return std::isfinite(value) ? fmt::format("{}", value) : absent;
}

bool is_csv(const std::filesystem::path& file) { return file.extension() == ".csv"; }

}  // namespace

std::string to_jsonl(const MetricPoint& point) {
  const auto value = [](double x) { return number(x, "null"); };
  std::string line = fmt::format("{{\"step\":{},\"tokens\":{},\"train_loss\":{}", point.step, point.tokens,
                                 value(point.train_loss));
  if (point.val_loss) line += fmt::format(",\"val_loss\":{}", value(*point.val_loss));
  line += fmt::format(",\"grad_norm\":{},\"learning_rate\":{},\"tokens_per_second\":{},\"seconds\":{}}}",
                      value(point.grad_norm), value(point.learning_rate), value(point.tokens_per_second),
                      value(point.seconds));
  return line;
}

std::string csv_header() {
  return "step,tokens,train_loss,val_loss,grad_norm,learning_rate,tokens_per_second,seconds";
}

std::string to_csv(const MetricPoint& point) {
  const auto value = [](double x) { return number(x, "nan"); };
  return fmt::format("{},{},{},{},{},{},{},{}", point.step, point.tokens, value(point.train_loss),
                     point.val_loss ? value(*point.val_loss) : "", value(point.grad_norm),
                     value(point.learning_rate), value(point.tokens_per_second), value(point.seconds));
}

void write_metrics(const std::filesystem::path& file, std::span<const MetricPoint> points) {
  const bool csv = is_csv(file);
  std::string text = csv ? csv_header() + "\n" : "";
  for (const MetricPoint& point : points) text += (csv ? to_csv(point) : to_jsonl(point)) + "\n";
  write_file_atomically(file, text);
}

MetricsLog::MetricsLog(std::filesystem::path file, bool append)
    : path_(std::move(file)), csv_(is_csv(path_)) {
  file_ = std::fopen(path_.c_str(), append ? "ae" : "we");
  if (file_ == nullptr) {
    fail("the log {} could not be created: {}; choose another file", path_.string(),
         std::generic_category().message(errno));
  }
  try {
    // Append mode stands at the start until something is written.
    std::fseek(file_, 0, SEEK_END);
    if (csv_ && std::ftell(file_) == 0) write_line(csv_header());
  } catch (...) {
    std::fclose(file_);
    throw;
  }
}

MetricsLog::~MetricsLog() { std::fclose(file_); }

void MetricsLog::add(const MetricPoint& point) { write_line(csv_ ? to_csv(point) : to_jsonl(point)); }

void MetricsLog::write_line(const std::string& line) {
  const std::string text = line + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), file_) == text.size();
  if (!written || std::fflush(file_) != 0) {
    fail("the log {} could not be written: {}; training can go on without --log", path_.string(),
         std::generic_category().message(errno));
  }
}

}  // namespace headlight
