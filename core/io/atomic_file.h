// Files written whole or not at all, and files read with a limit. Every file that Headlight saves goes
// through here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace headlight {

/// A file that takes its name only when it is complete: written beside its target under a temporary name,
/// then fsync, rename, fsync of the folder. Whatever fails, the file that stood there before is untouched.
class AtomicFile {
 public:
  /// Creates the temporary file in the target's folder. Throws Error naming the file when it cannot.
  explicit AtomicFile(std::filesystem::path target);
  /// Removes the temporary file unless commit() succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. Throws Error naming the target (full disk, quota, …).
  void write(const void* data, size_t bytes);
  /// Gives the file its name. keep_previous: the file that had it stays as NAME.previous. Throws Error.
  void commit(bool keep_previous = false);

 private:
  void close_file() noexcept;

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

/// The generation that commit(true) keeps: NAME.previous.
[[nodiscard]] std::filesystem::path previous_generation(const std::filesystem::path& target);

/// Writes a small file in one go.
void write_file_atomically(const std::filesystem::path& target, std::string_view bytes,
                           bool keep_previous = false);

/// The whole of a regular file. `what` says what it is for ("config", "text") in the sentence. Throws Error
/// when it is missing, a folder, unreadable, or above max_bytes (refused before reading).
[[nodiscard]] std::string read_whole_file(const std::filesystem::path& file, uint64_t max_bytes,
                                          std::string_view what);

/// Creates a folder and its parents. Throws Error naming it.
void make_folder(const std::filesystem::path& folder);

}  // namespace headlight
