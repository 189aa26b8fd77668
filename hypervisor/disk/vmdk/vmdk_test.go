package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// piece is data on a disk of zeros.
type piece struct {
	at   int64
	data []byte
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func text(n int) []byte { return bytes.Repeat([]byte("all work and no play\n"), n/21+1)[:n] }

// rawDisk is a sparse file.
func rawDisk(t testing.TB, size int64, pieces ...piece) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := f.WriteAt(p.data, p.at); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func streamOf(t testing.TB, src *os.File, o StreamOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteStream(t.Context(), &b, src, o); err != nil {
		t.Fatal(err)
	}
	if b.Len()%sectorSize != 0 {
		t.Errorf("%d bytes are no whole sectors", b.Len())
	}
	return b.Bytes()
}

// content is what a reader finds: the grains by their place.
func content(image []byte) (map[int64][]byte, *Reader, error) {
	r, err := NewReader(bytes.NewReader(image), MaxSize)
	if err != nil {
		return nil, nil, err
	}
	found := map[int64][]byte{}
	for {
		at, data, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, r, nil
		}
		if err != nil {
			return nil, nil, err
		}
		found[at] = bytes.Clone(data)
	}
}

// sameAs compares what was found with a raw disk, of which it reads the grains that should be there.
func sameAs(t testing.TB, found map[int64][]byte, src *os.File, size int64, pieces []piece) {
	t.Helper()
	want := map[int64][]byte{}
	for _, p := range pieces {
		for at := p.at / grainSize * grainSize; at < p.at+int64(len(p.data)); at += grainSize {
			b := make([]byte, min(grainSize, size-at))
			if _, err := src.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if !bytes.Equal(b, zeros[:len(b)]) {
				want[at] = b
			}
		}
	}
	for at, b := range found {
		if !bytes.Equal(b, want[at]) {
			t.Errorf("the grain at %d differs", at)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d grains were found, not %d", len(found), len(want))
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		size   int64
		pieces []piece
	}{
		"nothing":           {size: 0},
		"empty":             {size: 10 * mib},
		"one sector":        {size: 512, pieces: []piece{{0, noise(512)}}},
		"all data":          {size: 3 * mib, pieces: []piece{{0, noise(3 * mib)}}},
		"odd end":           {size: 5*mib + 3*512, pieces: []piece{{0, text(100)}, {5 * mib, noise(3 * 512)}}},
		"several tables":    {size: 200 * mib, pieces: []piece{{0, text(mib)}, {32*mib - 100, noise(200)}, {130 * mib, text(mib)}, {199 * mib, noise(70000)}}},
		"written zeros":     {size: 4 * mib, pieces: []piece{{mib, make([]byte, mib)}, {3 * mib, text(1)}}},
		"larger than 2 TiB": {size: 5 << 40, pieces: []piece{{4096, text(5000)}, {3<<40 - 5, noise(10)}, {5<<40 - 1, text(1)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := rawDisk(t, c.size, c.pieces...)
			var last, total int64
			image := streamOf(t, src, StreamOptions{Size: c.size, Progress: func(d, n int64) { last, total = d, n }})
			if last != c.size || total != c.size {
				t.Errorf("last progress was %d of %d", last, total)
			}
			found, r, err := content(image)
			if err != nil {
				t.Fatal(err)
			}
			if r.Size() != c.size {
				t.Errorf("the disk has %d bytes, not %d", r.Size(), c.size)
			}
			sameAs(t, found, src, c.size, c.pieces)
		})
	}
}

// TestAnyDisk: whatever is where, it comes back.
func TestAnyDisk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Int64Range(1, 80<<20/512).Draw(rt, "sectors") * 512
		var pieces []piece
		for range rapid.IntRange(0, 6).Draw(rt, "pieces") {
			at := rapid.Int64Range(0, size-1).Draw(rt, "at")
			n := min(rapid.Int64Range(1, 300<<10).Draw(rt, "length"), size-at)
			data := text(int(n))
			if rapid.Bool().Draw(rt, "noise") {
				data = noise(int(n))
			}
			pieces = append(pieces, piece{at, data})
		}
		src := rawDisk(t, size, pieces...)
		defer src.Close()
		found, _, err := content(streamOf(t, src, StreamOptions{Size: size, Parallel: 3, Level: 1}))
		if err != nil {
			rt.Fatal(err)
		}
		sameAs(t, found, src, size, pieces)
	})
}

// TestSameBytes: how many processors work on it is not to be seen, and neither is when.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	src := rawDisk(t, 40<<20, piece{0, text(3 << 20)}, piece{20 << 20, noise(3 << 20)})
	one := streamOf(t, src, StreamOptions{Size: 40 << 20, Parallel: 1})
	if !bytes.Equal(one, streamOf(t, src, StreamOptions{Size: 40 << 20, Parallel: 5})) {
		t.Error("the bytes depend on the number of processors")
	}
}

// TestLayout looks at the bytes where the specification has them.
func TestLayout(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	src := rawDisk(t, size, piece{0, text(10)}, piece{64 << 20, text(10)})
	b := streamOf(t, src, StreamOptions{Size: size})
	le := binary.LittleEndian
	sector := func(n int) []byte { return b[n*512:][:512] }
	head := sector(0)
	if string(head[:4]) != "KDMV" || le.Uint32(head[4:]) != 3 || le.Uint32(head[8:]) != 0x30001 || le.Uint64(head[12:]) != size/512 ||
		le.Uint64(head[56:]) != 0xffffffffffffffff || le.Uint64(head[64:]) != 128 || string(head[73:77]) != "\n \r\n" || le.Uint16(head[77:]) != 1 {
		t.Errorf("header is %x", head[:79])
	}
	// Two grains of a sector, each with its table; tables 1 and 3 are not there.
	type mark struct{ value, size, kind uint64 }
	at := func(n int) mark {
		s := sector(n)
		if size := le.Uint32(s[8:]); size > 0 {
			return mark{le.Uint64(s), 1, 0}
		}
		return mark{le.Uint64(s), 0, uint64(le.Uint32(s[12:]))}
	}
	last := len(b)/512 - 1
	got := []mark{at(128), at(129), at(134), at(135), at(140), at(last - 2), at(last)}
	want := []mark{{0, 1, 0}, {4, 0, 1}, {131072, 1, 0}, {4, 0, 1}, {1, 0, 2}, {1, 0, 3}, {}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mark{})); diff != "" {
		t.Error(diff)
	}
	directory := sector(141)
	for i, want := range []uint32{130, 0, 136, 0} {
		if got := le.Uint32(directory[i*4:]); got != want {
			t.Errorf("table %d is at %d, not %d", i, got, want)
		}
	}
	footer := bytes.Clone(sector(last - 1))
	if le.Uint64(footer[56:]) != 141 {
		t.Errorf("the footer has the directory at %d", le.Uint64(footer[56:]))
	}
	copy(footer[56:], head[56:64])
	if !bytes.Equal(footer, head) {
		t.Error("footer and header differ in more than the place of the directory")
	}
}

func TestDescriptorOfStream(t *testing.T) {
	t.Parallel()
	const size = 4 << 30
	src := rawDisk(t, size)
	id := uuid.MustParse("12345678-9abc-4def-8012-3456789abcde")
	_, r, err := content(streamOf(t, src, StreamOptions{Size: size, Options: Options{CID: 0xcafe, UUID: id, HWVersion: 21}}))
	if err != nil {
		t.Fatal(err)
	}
	none := uuid.Nil.String()
	want := Descriptor{
		CID: 0xcafe, ParentCID: 0xffffffff, CreateType: "streamOptimized",
		Extents: []Extent{{Access: "RDONLY", Sectors: size / 512, Kind: "SPARSE", File: "generated-stream.vmdk"}},
		DDB: map[string]string{
			"adapterType": "lsilogic", "virtualHWVersion": "21", "toolsVersion": "2147483647",
			"geometry.cylinders": "522", "geometry.heads": "255", "geometry.sectors": "63",
			"longContentID": "123456789abc4def801234560000cafe", "uuid": "60 00 c2 98 9a bc 4d ef-80 12 34 56 78 9a bc de",
			"uuid.image": id.String(), "uuid.parent": none, "uuid.modification": none, "uuid.parentmodification": none,
		},
	}
	if diff := cmp.Diff(want, r.Descriptor()); diff != "" {
		t.Error(diff)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	a, b := Options{}.WithDefaults(1<<30), Options{}.WithDefaults(2<<30)
	if a.UUID == b.UUID || a.UUID == uuid.Nil || a.Adapter != "lsilogic" || a.HWVersion != 19 || a.CID == 0 {
		t.Errorf("defaults are %+v and %+v", a, b)
	}
	for _, reserved := range []uint32{0, 0xffffffff, 0xfffffffe} {
		if got := (Options{CID: reserved}).WithDefaults(1).CID; got == reserved {
			t.Errorf("the CID %x was kept", got)
		}
	}
}

func TestGeometry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		adapter string
		size    int64
		want    string
	}{
		{"lsilogic", 512, "1/64/32"}, {"lsilogic", 100 << 20, "100/64/32"}, {"lsilogic", 1 << 30, "512/128/32"},
		{"lsilogic", 40 << 30, "5221/255/63"}, {"lsilogic", 3 << 40, "65535/255/63"},
		{"ide", 1 << 30, "2080/16/63"}, {"ide", 40 << 30, "16383/16/63"},
	} {
		cylinders, heads, perTrack := geometry(c.adapter, c.size/512)
		if got := fmt.Sprintf("%d/%d/%d", cylinders, heads, perTrack); got != c.want {
			t.Errorf("%s, %d bytes: %s, not %s", c.adapter, c.size, got, c.want)
		}
	}
}

func TestDescriptorText(t *testing.T) {
	t.Parallel()
	d := Descriptor{
		CID: 1, ParentCID: 0xffffffff, CreateType: "twoGbMaxExtentFlat",
		Extents: []Extent{{"RW", 4192256, "FLAT", "a b-f001.vmdk", 0}, {"RW", 100, "FLAT", `c"d.vmdk`, 7}, {Access: "RW", Sectors: 5, Kind: "SPARSE", File: "x"}},
		DDB:     map[string]string{"adapterType": "ide", "uuid": "60 00"},
	}
	got, err := ParseDescriptor(append(d.Text(), make([]byte, 100)...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, got); diff != "" {
		t.Error(diff)
	}
	// VirtualBox writes no spaces around "=", other tools upper case and Windows line ends.
	other := "# Disk DescriptorFile\r\nversion=1\r\nCID=ABCDEF01\r\ncreateType=\"x\"\r\nRW 63 ZERO\r\nddb.adapterType=\"ide\"\r\n"
	got, err = ParseDescriptor([]byte(other))
	want := Descriptor{CID: 0xabcdef01, ParentCID: 0xffffffff, CreateType: "x", Extents: []Extent{{Access: "RW", Sectors: 63, Kind: "ZERO"}},
		DDB: map[string]string{"adapterType": "ide"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, bad := range []string{"", "version=1", "CID=xyz", "CID=123456789", "RW many SPARSE \"x\"", "RW -1 SPARSE \"x\"", "RW 1 SPARSE \"x", "RW 1", "nonsense", "RW 1 FLAT \"x\" -3"} {
		text := "# Disk DescriptorFile\n" + bad
		if bad == "" || bad == "version=1" {
			text = bad
		}
		if d, err := ParseDescriptor([]byte(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %+v, %v", text, d, err)
		}
	}
}

// TestRefusals damages a sound image in one place at a time.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	src := rawDisk(t, size, piece{0, text(10)}, piece{grainSize, noise(grainSize)}, piece{64 << 20, text(10)})
	good := streamOf(t, src, StreamOptions{Size: size})
	if _, _, err := content(good); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	long := 128 + 1 // sector of the grain that is not compressed, of 129 sectors
	table := long + 129
	last := len(good)/512 - 1
	for name, damage := range map[string]func(b []byte) []byte{
		"magic":                  func(b []byte) []byte { b[0] = 'k'; return b },
		"version":                func(b []byte) []byte { b[4] = 4; return b },
		"no markers":             func(b []byte) []byte { b[10] = 1; return b },
		"algorithm":              func(b []byte) []byte { b[77] = 2; return b },
		"line ends":              func(b []byte) []byte { b[75] = '\n'; return b },
		"bomb":                   func(b []byte) []byte { le.PutUint64(b[12:], 1<<55); return b },
		"size that overflows":    func(b []byte) []byte { le.PutUint64(b[12:], 1<<63); return b },
		"grain size":             func(b []byte) []byte { le.PutUint64(b[20:], 1<<40); return b },
		"table size":             func(b []byte) []byte { le.PutUint32(b[44:], 1<<31); return b },
		"no descriptor":          func(b []byte) []byte { le.PutUint64(b[36:], 0); return b },
		"huge descriptor":        func(b []byte) []byte { le.PutUint64(b[36:], 1<<50); return b },
		"descriptor elsewhere":   func(b []byte) []byte { le.PutUint64(b[28:], most64-5); return b },
		"huge front":             func(b []byte) []byte { le.PutUint64(b[64:], 1<<50); return b },
		"descriptor":             func(b []byte) []byte { b[512] = '!'; return b },
		"grain beyond the disk":  func(b []byte) []byte { le.PutUint64(b[128*512:], size/512); return b },
		"grain between grains":   func(b []byte) []byte { le.PutUint64(b[128*512:], 1); return b },
		"grain twice":            func(b []byte) []byte { le.PutUint64(b[long*512:], 0); return b },
		"grain elsewhere":        func(b []byte) []byte { le.PutUint64(b[long*512:], 128*7); return b },
		"huge grain":             func(b []byte) []byte { le.PutUint32(b[128*512+8:], 1<<30); return b },
		"grain's size":           func(b []byte) []byte { b[128*512+8]--; return b },
		"data":                   func(b []byte) []byte { b[long*512+300] ^= 1; return b },
		"checksum":               func(b []byte) []byte { b[128*512+12+int(b[128*512+8])-1] ^= 1; return b },
		"marker":                 func(b []byte) []byte { b[table*512+12] = 9; return b },
		"marker's size":          func(b []byte) []byte { b[table*512] = 5; return b },
		"table":                  func(b []byte) []byte { b[(table+1)*512]++; return b },
		"table of no grains":     func(b []byte) []byte { clear(b[(table+1)*512:][:2048]); return b },
		"directory":              func(b []byte) []byte { b[(last-3)*512]++; return b },
		"footer":                 func(b []byte) []byte { b[(last-1)*512+12]++; return b },
		"place of the directory": func(b []byte) []byte { b[(last-1)*512+56]++; return b },
		"no footer":              func(b []byte) []byte { return append(b[:(last-2)*512:(last-2)*512], b[last*512:]...) },
		"no directory":           func(b []byte) []byte { return append(b[:(last-4)*512:(last-4)*512], b[(last-2)*512:]...) },
		"no end":                 func(b []byte) []byte { return b[:last*512] },
		"cut in a grain":         func(b []byte) []byte { return b[:(long+5)*512] },
		"cut in a sector":        func(b []byte) []byte { return b[:len(b)-1] },
		"cut in the front":       func(b []byte) []byte { return b[:700] },
		"nothing":                func(b []byte) []byte { return nil },
		"grain after the end":    func(b []byte) []byte { return insert(b, (last-2)*512, b[128*512:129*512]) },
	} {
		if _, _, err := content(damage(bytes.Clone(good))); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewReader(bytes.NewReader(good), size-1); !errors.Is(err, ErrInvalid) {
		t.Errorf("a disk larger than asked for: %v", err)
	}
}

const most64 = 1<<64 - 1

func insert(b []byte, at int, more []byte) []byte {
	return bytes.Join([][]byte{b[:at], more, b[at:]}, nil)
}

// TestOthersStreams: what other writers do and ours does not.
func TestOthersStreams(t *testing.T) {
	t.Parallel()
	const size = 96 << 20
	src := rawDisk(t, size, piece{64 << 20, text(10)})
	b := streamOf(t, src, StreamOptions{Size: size})
	// A progress marker, and tables without grains, to which the directory leads.
	empty := append(marker(markerTable, tableSectors), make([]byte, tableSectors*sectorSize)...)
	more := bytes.Join([][]byte{b[:128*512], marker(markerProgress, 17), empty, b[128*512:]}, nil)
	moved := uint64(1 + 1 + tableSectors)
	grain := 128 + moved
	le := binary.LittleEndian
	le.PutUint32(more[(grain+2)*512:], uint32(grain)) // first entry of table 2
	directory := (grain + 2 + tableSectors + 1) * 512
	le.PutUint32(more[directory:], 130)
	le.PutUint32(more[directory+4:], 0)
	le.PutUint32(more[directory+8:], uint32(grain+2))
	footer := len(more) - 1024
	le.PutUint64(more[footer+56:], directory/512)
	le.PutUint64(more[footer+48:], directory/512) // VirtualBox names it as the redundant one too
	found, _, err := content(more)
	if err != nil || len(found) != 1 || found[64<<20] == nil {
		t.Errorf("%d grains, %v", len(found), err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	src := rawDisk(t, 64<<20, piece{0, noise(16 << 20)})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user had enough")
	err := WriteStream(ctx, io.Discard, src, StreamOptions{Size: 64 << 20, Progress: func(int64, int64) { cancel(stop) }})
	if !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}

type failing struct{ after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// TestWriteErrors: an error of the destination comes back wherever it strikes.
func TestWriteErrors(t *testing.T) {
	t.Parallel()
	src := rawDisk(t, 64<<20, piece{0, noise(100)}, piece{40 << 20, noise(3 << 20)})
	whole := len(streamOf(t, src, StreamOptions{Size: 64 << 20}))
	for after := 0; after < whole; after += whole / 50 {
		if err := WriteStream(t.Context(), &failing{after}, src, StreamOptions{Size: 64 << 20}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("after %d bytes: %v", after, err)
		}
	}
	if err := WriteStream(t.Context(), io.Discard, src, StreamOptions{Size: MaxSize + 1}); err == nil {
		t.Error("a disk that VMware does not know was written")
	}
	if err := WriteStream(t.Context(), io.Discard, src, StreamOptions{Size: 1 << 20, Level: 17}); err == nil {
		t.Error("level 17 was taken")
	}
}

// TestTooMuchData: sectors of the file are counted in 32 bits.
func TestTooMuchData(t *testing.T) {
	t.Parallel()
	s := newStream(io.Discard, StreamOptions{Size: 1 << 30})
	s.at = 1 << 32
	if err := s.put(&batch{out: make([]byte, 512), sectors: [batchGrains]uint64{1}}); !errors.Is(err, errTooLarge) {
		t.Errorf("error is %v", err)
	}
}

// FuzzReader: whatever comes, the reader ends, and what it accepts makes sense.
func FuzzReader(f *testing.F) {
	src := rawDisk(f, 70<<20, piece{0, text(100)}, piece{grainSize * 3, noise(300)}, piece{64 << 20, text(10)})
	good := streamOf(f, src, StreamOptions{Size: 70 << 20})
	f.Add(good)
	f.Add(good[:len(good)-512])
	f.Add(streamOf(f, rawDisk(f, 512), StreamOptions{Size: 512}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b), 1<<30)
		if err != nil {
			return
		}
		end := int64(0)
		for {
			at, data, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, ErrInvalid) {
					t.Errorf("error is %v", err)
				}
				return
			}
			if at < end || len(data) == 0 || at+int64(len(data)) > r.Size() {
				t.Errorf("%d bytes at %d after %d of a disk of %d", len(data), at, end, r.Size())
			}
			end = at + int64(len(data))
		}
	})
}

// FuzzParseDescriptor: what is accepted can be written and read again.
func FuzzParseDescriptor(f *testing.F) {
	f.Add(Options{}.WithDefaults(1 << 30).descriptor(1 << 30).Text())
	f.Add([]byte("# Disk DescriptorFile\nCID=1\nRW 5 FLAT \"a b\" 9\nddb.x=\"y\""))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDescriptor(b)
		if err != nil {
			return
		}
		if _, err := ParseDescriptor(d.Text()); err != nil {
			t.Errorf("%q: %v", d.Text(), err)
		}
	})
}

// TestIdentify: of an image only the descriptor changes, and no byte where there is no room or no descriptor.
func TestIdentify(t *testing.T) {
	t.Parallel()
	stream := streamOf(t, rawDisk(t, 1<<20, piece{0, text(10)}), StreamOptions{Size: 1 << 20})
	beside := Descriptor{CreateType: "monolithicFlat", Extents: []Extent{{"RW", 5, "FLAT", "x-flat.vmdk", 0}}, DDB: map[string]string{"kept": "yes"}}.Text()
	long := append(bytes.Clone(stream[:512]), beside...)
	binary.LittleEndian.PutUint64(long[36:], 1) // room for 512 bytes
	path := filepath.Join(t.TempDir(), "x.vmdk")
	change := func(b []byte) ([]byte, error) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		failed := Identify(path, Options{CID: 7}.WithDefaults(1<<20))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b, failed
	}
	got, err := change(stream)
	if err != nil || len(got) != len(stream) || !bytes.Equal(got[21*512:], stream[21*512:]) || !bytes.Equal(got[:512], stream[:512]) {
		t.Errorf("a stream: %v", err)
	}
	if _, r, err := content(got); err != nil || r.Descriptor().CID != 7 || r.Descriptor().CreateType != "streamOptimized" {
		t.Errorf("a stream afterwards: %v", err)
	}
	got, err = change(beside)
	if d, wrong := ParseDescriptor(got); err != nil || wrong != nil || d.CID != 7 || d.DDB["kept"] != "yes" || d.DDB["uuid.image"] == "" || d.CreateType != "monolithicFlat" {
		t.Errorf("a text: %q, %v, %v", got, err, wrong)
	}
	for name, b := range map[string][]byte{"no room": long, "no descriptor": []byte("hello"), "nothing": nil} {
		if got, err := change(b); err == nil || !bytes.Equal(got, b) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
