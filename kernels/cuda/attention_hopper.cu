// Fused attention forward on Hopper's tensor cores (wgmma), 16-bit elements, heads of 64 and 128. Called by
// attention.cu where the device is one. The mathematics is that of attention.cu; what differs is who waits
// for whom.
//
// One block stays on each multiprocessor and works through its share of the tiles of queries. Its first
// warpgroup only copies: queries, keys and values land in places that take turns, ahead of their use and
// across the borders of the tiles of queries. Each of the other warpgroups has 64 rows of a tile of queries.
// It starts the next scores, then the product of the present pattern with the values, and works on the next
// exponentials while that product runs; so do the other warpgroups, and nothing but the places that they have
// not left yet ties them to each other.
//
// The exponentials decide for heads of 64: for 64 queries and 128 keys, 512 clocks of a multiprocessor's
// special units against 512 of its tensor cores, and about 350 of its issue slots. With three warpgroups on
// their way neither waits for the other. Heads of 128 need 1024 clocks of tensor cores for the same
// exponentials, and twice the registers for their sums: two warpgroups.
#include "kernels/cuda/attention_hopper.h"

#include "kernels/cuda/attention_hopper_tile.h"
#include "kernels/cuda/attention_sections.h"
#include "kernels/cuda/attention_softmax.h"
#include "kernels/cuda/barrier.h"

namespace headlight::kernels::cuda {

namespace {

template <class E, int kSize>
struct Cut {
  static constexpr int kGroups = kSize <= 64 ? 3 : 2;  // warpgroups that multiply
  static constexpr int kWarps = 4 * kGroups;
  static constexpr int kThreads = (1 + kGroups) * kWarpgroup;
  static constexpr int kQueries = kGroups * kGroupRows;
  static constexpr int kKeys = 128;
  // Of a thread. A launch gives each of four warpgroups 128, each of three 168.
  static constexpr int kCopying = kGroups == 3 ? 32 : 40;
  static constexpr int kMultiplying = kGroups == 3 ? 160 : 232;

  using Queries = PanelTile<E, kSize, kQueries>;
  using Keys = PanelTile<E, kSize, kKeys>;
  using Scores = WarpgroupAccumulator<kKeys>;
  using Sums = WarpgroupAccumulator<kSize>;
  static constexpr int kQueryPlaces = 2;
  static constexpr int kKeyPlaces = kSize <= 64 ? 8 : 5;  // for a tile of keys or one of values
  static constexpr int kBytes = kQueryPlaces * Queries::kBytes + kKeyPlaces * Keys::kBytes + kTileAlignment;
};

// A place's two barriers: what was copied there has landed; the warps that read it have left it. First the
// places of queries, then those of keys and values.
struct Door {
  uint64_t ready, free;
};

// The tiles in shared memory.
template <class C>
class Places {
 public:
  __device__ Places() : memory_(aligned_shared_memory()) {}
  __device__ typename C::Queries queries(int place) const {
    return typename C::Queries(memory_ + place * C::Queries::kBytes);
  }
  __device__ typename C::Keys keys(int place) const {
    return typename C::Keys(memory_ + C::kQueryPlaces * C::Queries::kBytes + place * C::Keys::kBytes);
  }

 private:
  char* memory_;
};

// Which of kPlaces comes next, and the parity of its use.
template <int kPlaces>
struct Turn {
  int place = 0;
  uint32_t parity = 0;

  __device__ void advance() {
    place += 1;
    if (place == kPlaces) {
      place = 0;
      parity ^= 1;
    }
  }
  __device__ void skip(int turns) {
    const int ahead = place + turns;
    place = ahead % kPlaces;
    parity ^= ahead / kPlaces % 2;
  }
};

// A tile of queries, `groups` times 64 of them. Tiles are cut from the end, so that one that is not whole has
// the shortest rows, and the longest come first.
struct Item {
  int b, h;
  int i0;  // first query
  int groups;

  // How many tiles of keys the queries of a group, or of all, see.
  template <int kKeys>
  __device__ int tiles_of_group(const Attention& a, int group) const {
    const int first = i0 + group * kGroupRows;
    if (group >= groups) return 0;
    return tiles_over(a.limit(min(a.T, first + kGroupRows) - 1), kKeys);
  }
  template <int kKeys>
  __device__ int tiles(const Attention& a) const {
    return tiles_of_group<kKeys>(a, groups - 1);
  }
};
template <int kGroups>
__device__ Item item_of(const Sections& work, int index, const Attention& a) {
  const Sections::Item item = work.at(index);
  const int first = tiles_over(a.T, kGroupRows) - (item.rank + 1) * kGroups;
  return {item.head / a.H, item.head % a.H, max(0, first) * kGroupRows, kGroups + min(0, first)};
}

// --- the warpgroup that copies ----------------------------------------------------------------------------
// The copies under way, by the doors to open when they have landed. A warp opens a door when all its lanes
// have seen their copies land; its lanes act alike.
class Underway {
 public:
  __device__ explicit Underway(Door* doors) : doors_(doors) {}
  /// The copies that were just started belong to this door.
  __device__ void add(int door) {
    close_copies();
    if (waiting_[0] >= 0) {
      await_copies<kTogether>();
      open(1);
    }
#pragma unroll
    for (int i = 1; i < kTogether; ++i) waiting_[i - 1] = waiting_[i];
    waiting_[kTogether - 1] = door;
  }
  /// Waits for all of them.
  __device__ void drain() {
    await_copies<0>();
    open(kTogether);
  }

 private:
  static constexpr int kTogether = 3;

  __device__ void open(int count) {
    fence_shared();
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      if (i >= count) break;
      if (lane_index() == 0 && waiting_[i] >= 0) arrive(doors_[waiting_[i]].ready);
      waiting_[i] = -1;
    }
  }
  Door* doors_;
  int waiting_[kTogether] = {-1, -1, -1};
};

// Everything that the block's work needs, in the order of its use: queries, keys 0, then keys j and values
// j − 1, then the last values.
template <class E, int kSize>
__device__ void copy_tiles(const E* qkv, const Attention& a, const Sections& work, Door* doors,
                           const Places<Cut<E, kSize>>& places) {
  using C = Cut<E, kSize>;
  constexpr int kUnrolled = 4;
  Turn<C::kQueryPlaces> query_turn;
  Turn<C::kKeyPlaces> key_turn;
  Underway underway(doors);
  const auto enter = [&](int door, uint32_t parity) {
    if (__all_sync(kAllLanes, phase_is_complete(doors[door].free, parity ^ 1))) return;
    underway.drain();  // or those who should leave might wait for what has landed here
    await_phase(doors[door].free, parity ^ 1);
  };
#pragma unroll 1
  for (int index = static_cast<int>(blockIdx.x); index < work.count(); index += static_cast<int>(gridDim.x)) {
    const Item item = item_of<C::kGroups>(work, index, a);
    enter(query_turn.place, query_turn.parity);
    places.queries(query_turn.place)
        .template fetch<kWarpgroup, kUnrolled>(a.head(qkv, item.b, item.h, item.i0));
    underway.add(query_turn.place);
    query_turn.advance();
    const int last = 2 * item.template tiles<C::kKeys>(a) - 1;
#pragma unroll 1
    for (int use = 0; use <= last; ++use) {
      const bool keys = use == 0 || (use % 2 == 1 && use < last);
      const int tile = keys ? (use + 1) / 2 : (use - 1) / 2;
      const int door = C::kQueryPlaces + key_turn.place;
      enter(door, key_turn.parity);
      // Warpgroups that do not see the tile never come.
      int absent = 0;
#pragma unroll
      for (int group = 0; group < C::kGroups; ++group)
        absent += tile >= item.template tiles_of_group<C::kKeys>(a, group) ? 1 : 0;
      if (absent > 0 && threadIdx.x == 0) arrive(doors[door].free, 4 * absent);
      const int part = a.key_part(item.h) + (keys ? 0 : a.H_kv);
      places.keys(key_turn.place)
          .template fetch<kWarpgroup, kUnrolled>(a.head(qkv, item.b, part, tile * C::kKeys));
      underway.add(door);
      key_turn.advance();
    }
  }
  underway.drain();
}

// --- the warpgroups that multiply -------------------------------------------------------------------------
// Rounds scores that have become powers to E, as fragments.
template <class E, int kKeys>
__device__ void as_operands(uint32_t (&pattern)[kKeys / 16][4], const WarpgroupAccumulator<kKeys>& scores) {
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) as_operand<E>(pattern[step], scores, step);
}

template <class E, int kSize>
__device__ void multiply_tiles(E* z, float* lse, const Attention& a, const Sections& work, Door* doors,
                               const Places<Cut<E, kSize>>& places) {
  using C = Cut<E, kSize>;
  const int group = this_warp() / 4 - 1;
  const float scale = a.scale * kLog2E;
  Turn<C::kQueryPlaces> query_turn;
  Turn<C::kKeyPlaces> key_turn;
  const auto leave = [](Door& door) {
    if (lane_index() == 0) arrive(door.free);
  };
  typename C::Scores scores;
  typename C::Sums sums;
  uint32_t pattern[C::kKeys / 16][4];

  for (int index = static_cast<int>(blockIdx.x); index < work.count(); index += static_cast<int>(gridDim.x)) {
    const Item item = item_of<C::kGroups>(work, index, a);
    const int first = item.i0 + group * kGroupRows;       // query of the warpgroup
    int row = group * kGroupRows + this_warp() % 4 * 16;  // of the warp in the tile of queries
    settle(row);  // or addresses of the end would stay in registers all the time
    const int tiles = item.template tiles_of_group<C::kKeys>(a, group);
    const auto queries = places.queries(query_turn.place);
    // Starts the scores of the next tile of keys; returns where it lies.
    const auto start_scores = [&]() -> Door& {
      Door& door = doors[C::kQueryPlaces + key_turn.place];
      await_phase(door.ready, key_turn.parity);
      warpgroup_arrive();
      start_product<E, kSize>(scores, queries, group * kGroupRows, places.keys(key_turn.place));
      commit_products();
      key_turn.advance();
      return door;
    };
    const auto start_sums = [&]() -> Door& {
      Door& door = doors[C::kQueryPlaces + key_turn.place];
      await_phase(door.ready, key_turn.parity);
      warpgroup_arrive();
      start_adding<E, kSize, C::kKeys>(sums, pattern, places.keys(key_turn.place));
      commit_products();
      key_turn.advance();
      return door;
    };
    Running running;
    float factor[2];
    const auto soften = [&](int tile) {
      if ((tile + 1) * C::kKeys > a.limit(first)) mask_scores(scores, a, item.i0 + row, tile * C::kKeys);
      running.absorb(scores, factor, scale);
    };

    Door& query_door = doors[query_turn.place];
    await_phase(query_door.ready, query_turn.parity);
    query_turn.advance();
    int left = 2 * item.template tiles<C::kKeys>(a);  // places of the block's, to pass
    if (tiles > 0) {
      Door& first_keys = start_scores();
      await_products<0>(scores);
      leave(first_keys);
      soften(0);
      as_operands<E, C::kKeys>(pattern, scores);
#pragma unroll
      for (int n = 0; n < kSize / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[n][e] = 0.0F;
#pragma unroll 1
      for (int tile = 1; tile < tiles; ++tile) {
        Door& keys = start_scores();
        Door& values = start_sums();
        await_products<1>(scores);
        leave(keys);
        soften(tile);
        finish_first(running.total[0] + running.total[1]);  // beside the product, not behind it
        await_products<0>(sums);
        leave(values);
        shrink(sums, factor);
        as_operands<E, C::kKeys>(pattern, scores);
      }
      left -= 2 * tiles;
      if (left > 0) {  // the keys of a tile that this warpgroup does not see come before its last values
        key_turn.advance();
        left -= 1;
      }
      Door& values = start_sums();
      running.finish(lse + (static_cast<int64_t>(item.b) * a.H + item.h) * a.T + item.i0 + row, item.i0 + row,
                     a.T);
      await_products<0>(sums);
      leave(values);
      factor[0] = 1.0F / running.total[0];
      factor[1] = 1.0F / running.total[1];
      shrink(sums, factor);
      Rows<E> out = a.output(z, item.b, item.h, item.i0);
      out.wide = true;  // as heads of this size are
      out.D = kSize;
      write_rows<E, kSize>(out, queries, row, sums, 1.0F);
    }
    key_turn.skip(left);
    __syncwarp();
    leave(query_door);
  }
}

// One block a multiprocessor; warps 0–3 copy.
template <class E, int kSize>
__global__ void __launch_bounds__(Cut<E, kSize>::kThreads, 1)
    attention_hopper_forward_kernel(E* z, float* lse, const E* qkv, Attention a, Sections work) {
  using C = Cut<E, kSize>;
  constexpr int kDoors = C::kQueryPlaces + C::kKeyPlaces;
  __shared__ Door doors[kDoors];
  if (threadIdx.x < kDoors) {
    init_barrier(doors[threadIdx.x].ready, kTileWarps);
    init_barrier(doors[threadIdx.x].free, C::kWarps);
  }
  __syncthreads();
  const Places<C> places;
  if (this_warp() < kTileWarps) {
    give_registers<C::kCopying>();
    copy_tiles<E, kSize>(qkv, a, work, doors, places);
  } else {
    take_registers<C::kMultiplying>();
    multiply_tiles<E, kSize>(z, lse, a, work, doors, places);
  }
}

template <class E, int kSize>
void launch_forward(Context& context, E* z, float* lse, const E* qkv, const Attention& a, int64_t B) {
  using C = Cut<E, kSize>;
  const int64_t head_bytes = int64_t{2} * a.T * kSize * static_cast<int64_t>(sizeof(E));  // keys and values
  const Sections work = sections_of(B * a.H, tiles_over(a.T, C::kQueries), head_bytes);
  const int blocks = std::min(work.count(), on_cuda(context).processors());
  allow_shared_memory(attention_hopper_forward_kernel<E, kSize>, C::kBytes);
  launch(context, attention_hopper_forward_kernel<E, kSize>, blocks, C::kThreads, C::kBytes, z, lse, qkv, a,
         work);
}

}  // namespace

template <class E>
void attention_forward_hopper(Context& context, E* z, float* lse, const E* qkv, const Attention& a,
                              int64_t B) {
  if (a.D == 64) {
    launch_forward<E, 64>(context, z, lse, qkv, a, B);
  } else {
    launch_forward<E, 128>(context, z, lse, qkv, a, B);
  }
}

template void attention_forward_hopper(Context&, bfloat16*, float*, const bfloat16*, const Attention&,
                                       int64_t);
template void attention_forward_hopper(Context&, float16*, float*, const float16*, const Attention&, int64_t);

}  // namespace headlight::kernels::cuda
