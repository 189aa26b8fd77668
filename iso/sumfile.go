package iso

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// bsdLine is a line of BSD's md5(1) and of `sha256sum --tag`.
var bsdLine = regexp.MustCompile(`^([A-Za-z0-9-]+) ?\((.+)\) ?= ?([0-9a-fA-F]+)$`)

// sumLine is one entry of a checksum file; name is empty where the file holds a bare digest.
type sumLine struct {
	digest Digest
	name   string
}

// FindChecksum looks up a file in the text of a checksum file. The file is named by the path of its URL; an entry
// matches when it is the last part of that path, so both "debian.iso" and "./netboot/mini.iso" are found. It reads
// the GNU form ("digest  name", "digest *name"), the BSD form ("SHA256 (name) = digest") and bare digests; other
// lines, such as comments and signatures, are skipped. The most exact name wins, then the strongest algorithm.
func FindChecksum(text, urlPath string) (Digest, error) {
	want := path.Clean("/" + urlPath)
	var best Digest
	bestScore := -1
	for line := range strings.Lines(text) {
		l, ok := parseSumLine(strings.TrimSpace(line))
		if !ok {
			continue
		}
		if score := matchName(want, l.name); score >= 0 {
			score = score*len(algorithms) + slices.Index(algorithms, l.digest.Algorithm)
			if score > bestScore {
				best, bestScore = l.digest, score
			}
		}
	}
	if bestScore < 0 {
		return Digest{}, fmt.Errorf("has no entry for %q", path.Base(want))
	}
	return best, nil
}

// matchName tells how well an entry's name fits: -1 not at all, 0 for a bare digest, else the number of path
// elements that agree.
func matchName(want, name string) int {
	if name == "" {
		return 0
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" || !strings.HasSuffix(want, "/"+name) {
		return -1
	}
	return 1 + strings.Count(name, "/")
}

func parseSumLine(line string) (sumLine, bool) {
	if m := bsdLine.FindStringSubmatch(line); m != nil {
		algorithm := Algorithm(strings.ReplaceAll(strings.ToLower(m[1]), "-", ""))
		d, err := newDigest(algorithm, m[3])
		return sumLine{digest: d, name: m[2]}, err == nil
	}
	value, name, _ := strings.Cut(line, " ")
	d, err := digestByLength(strings.TrimPrefix(value, `\`))
	if err != nil {
		return sumLine{}, false
	}
	name = strings.TrimLeft(name, " \t")
	// "*" marks binary mode, "?" portable mode (shasum -p).
	if strings.HasPrefix(name, "*") || strings.HasPrefix(name, "?") {
		name = name[1:]
	}
	return sumLine{digest: d, name: name}, true
}
