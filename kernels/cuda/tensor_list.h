// One launch over many tensors: a list of them goes to the device with the launch itself, and each block
// takes a piece of one. For the optimiser and the casts of weights, whose tensors are many and often small.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

/// Elements of a piece; starts of pieces are 16-byte aligned where their tensors are.
inline constexpr int kPiece = 8192;
inline constexpr int kPieceThreads = 256;
/// Bytes that a launch may carry.
inline constexpr size_t kLaunchBytes = 4096;
/// Tensors of a launch, with room for its other arguments.
template <class T>
inline constexpr int kListed = static_cast<int>((kLaunchBytes - 256) / (sizeof(T) + sizeof(int)));

/// T has a member n, its elements. Piece p belongs to the last tensor whose first piece is not behind it.
template <class T>
struct TensorList {
  T at[kListed<T>];
  int first[kListed<T>];
  int count;
};

/// What one block works on: elements [begin, begin + n) of tensor `index`.
struct Piece {
  int index;
  int64_t begin, n;
};

template <class T>
__device__ __forceinline__ Piece piece_of(const TensorList<T>& list) {
  const int block = static_cast<int>(blockIdx.x);
  int low = 0;
  int high = list.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (list.first[middle] <= block) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int64_t begin = static_cast<int64_t>(block - list.first[low]) * kPiece;
  const int64_t left = list.at[low].n - begin;
  return {low, begin, left < kPiece ? left : kPiece};
}

template <class... P>
__device__ __forceinline__ bool vectors_in(const P*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

/// Calls body(list, pieces, first tensor of the list) for as many lists as `tensors` fill. An empty tensor
/// has one piece without elements.
template <class T, class Body>
void for_lists(std::span<const T> tensors, const Body& body) {
  for (size_t from = 0; from < tensors.size(); from += kListed<T>) {
    TensorList<T> list{};
    list.count = static_cast<int>(std::min<size_t>(kListed<T>, tensors.size() - from));
    int pieces = 0;
    for (int i = 0; i < list.count; ++i) {
      list.at[i] = tensors[from + static_cast<size_t>(i)];
      list.first[i] = pieces;
      pieces += static_cast<int>(std::max<int64_t>(1, divide_up(list.at[i].n, kPiece)));
    }
    body(list, pieces, from);
  }
}

}  // namespace headlight::kernels::cuda
