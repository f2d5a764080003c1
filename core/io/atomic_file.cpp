// See atomic_file.h.
#include "core/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "core/base/error.h"

namespace headlight {

namespace fs = std::filesystem;

namespace {

/// What an errno means for the person who wants to save, with the remedy where there is one.
std::string reason(int error) {
  switch (error) {
    case ENOSPC:
      return "the disk is full; free some space or choose another folder";
    case EDQUOT:
      return "the disk quota is used up; free some space or choose another folder";
    case EFBIG:
      return "the file would be larger than this system allows here; choose another folder";
    case EACCES:
    case EPERM:
      return "permission denied; choose a folder that you may write to";
    case EROFS:
      return "the disk is read-only; choose another folder";
    case ENOENT:
      return "its folder does not exist; create it or choose another";
    case ENOTDIR:
      return "part of its path is a file, not a folder; choose another folder";
    case ENAMETOOLONG:
      return "its name is too long; choose a shorter one";
    default:
      return std::generic_category().message(error);
  }
}

[[noreturn]] void fail_to_save(const fs::path& target, int error) {
  fail("{} could not be saved: {}", target.string(), reason(error));
}

/// The folder that holds `file`, as a path that open() takes.
fs::path folder_of(const fs::path& file) {
  const fs::path folder = file.parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

/// Makes a rename in `folder` last through a power cut. Some file systems cannot sync a folder (EINVAL);
/// nothing more can be done there.
int sync_folder(const fs::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : errno;
  close(fd);
  return error;
}

}  // namespace

fs::path previous_generation(const fs::path& target) {
  fs::path previous = target;
  previous += ".previous";
  return previous;
}

AtomicFile::AtomicFile(fs::path target) : target_(std::move(target)) {
  std::error_code ignored;  // what cannot be looked at fails below, with its reason
  if (target_.filename().empty() || fs::is_directory(target_, ignored)) {
    fail("{} could not be saved: it is a folder; give the name of a file", target_.string());
  }
  // A link is followed, so that what it points to is replaced and not the link; devices, pipes and sockets
  // are nobody's file and stay what they are.
  if (fs::is_symlink(target_, ignored)) {
    if (const fs::path real = fs::weakly_canonical(target_, ignored); !real.empty()) target_ = real;
  }
  if (fs::exists(target_, ignored) && !fs::is_regular_file(target_, ignored)) {
    fail("{} could not be saved: it is no regular file; give the name of a file", target_.string());
  }
  // O_EXCL never takes over a file that is there: one that a crash left behind, or another thread's.
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; attempt < 1000; ++attempt) {
    temporary_ = target_;
    temporary_ += fmt::format(".saving-{}-{}", getpid(), counter++);
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0 || errno != EEXIST) break;
  }
  if (fd_ < 0) {
    const int error = errno;
    temporary_.clear();
    fail_to_save(target_, error);
  }
}

AtomicFile::~AtomicFile() {
  close_file();
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::close_file() noexcept {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(fd_, at, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_to_save(target_, errno);
    }
    at += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit(bool keep_previous) {
  if (fsync(fd_) != 0) fail_to_save(target_, errno);
  if (close(fd_) != 0) {
    fd_ = -1;
    fail_to_save(target_, errno);
  }
  fd_ = -1;
  std::error_code ignored;
  if (keep_previous && fs::exists(target_, ignored)) {
    // A hard link keeps the old file under both names until the rename below takes one away, so that no
    // moment is without a complete file. File systems without hard links get a rename instead.
    const fs::path previous = previous_generation(target_);
    fs::path link_name = temporary_;
    link_name += ".previous";
    if (link(target_.c_str(), link_name.c_str()) == 0) {
      if (rename(link_name.c_str(), previous.c_str()) != 0) {
        const int error = errno;
        unlink(link_name.c_str());
        fail_to_save(previous, error);
      }
      // When both names were the same file already, rename() leaves the link where it was.
      unlink(link_name.c_str());
    } else if (rename(target_.c_str(), previous.c_str()) != 0) {
      fail_to_save(previous, errno);
    }
  }
  if (rename(temporary_.c_str(), target_.c_str()) != 0) fail_to_save(target_, errno);
  temporary_.clear();
  if (const int error = sync_folder(folder_of(target_)); error != 0) fail_to_save(target_, error);
}

void write_file_atomically(const fs::path& target, std::string_view bytes, bool keep_previous) {
  AtomicFile file(target);
  file.write(bytes.data(), bytes.size());
  file.commit(keep_previous);
}

std::string read_whole_file(const fs::path& file, uint64_t max_bytes, std::string_view what) {
  // O_NONBLOCK, so that opening a pipe that nobody writes to does not hang; it changes nothing for regular
  // files.
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno == ENOENT) fail("the {} file {} does not exist; check the path", what, file.string());
    if (errno == EACCES)
      fail("the {} file {} may not be read by you; change its permissions", what, file.string());
    fail("the {} file {} cannot be opened: {}", what, file.string(), std::generic_category().message(errno));
  }
  struct Closer {
    int fd;
    ~Closer() { close(fd); }
  } closer{fd};
  struct stat status {};
  if (fstat(fd, &status) != 0) {
    fail("the {} file {} cannot be read: {}", what, file.string(), std::generic_category().message(errno));
  }
  if (S_ISDIR(status.st_mode))
    fail("{} is a folder, but a {} file is wanted; give a file in it", file.string(), what);
  if (!S_ISREG(status.st_mode))
    fail("{} is not a regular file, so it cannot be a {} file", file.string(), what);
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size > max_bytes) {
    fail("the {} file {} has {} bytes, more than the {} that are allowed; cut it to a smaller one", what,
         file.string(), size, max_bytes);
  }
  std::string bytes(size, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = read(fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      fail("the {} file {} cannot be read: {}", what, file.string(), std::generic_category().message(errno));
    }
    if (got == 0) break;  // became shorter since fstat: what is there now is the file
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("the folder {} could not be created: {}", folder.string(), reason(error.value()));
  if (!fs::is_directory(folder, error)) {
    fail("the folder {} could not be created: a file of that name stands there", folder.string());
  }
}

}  // namespace headlight
