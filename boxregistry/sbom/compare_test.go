package sbom_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/sbom"
)

// The rows are in the order of the manager, oldest first. Those of rpm and pacman are from the managers' own tests (rpm
// tests/rpmvercmp.at, pacman test/util/vercmptest.sh), those of apk from its grammar.
var ordered = map[sbom.Type][][]string{
	sbom.Deb: {
		{"1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-1", "1.0a", "1.0+b1", "1.0.1"},
		{"3.0.9-1", "3.0.11-1~deb12u1", "3.0.11-1~deb12u2", "3.0.11-1", "3.0.11-1+b1"},
		{"9.9", "1:0.1", "1:2", "2:1"},
		{"2.36-9+deb12u4", "2.36-9+deb12u10"},
	},
	sbom.RPM: {
		{"1.0~rc1", "1.0~rc2", "1.0", "1.0^git1", "1.0^git2", "1.0.1"},
		{"1.0~rc1~git123", "1.0~rc1"},
		{"1.0a", "1.0.1"},
		{"5.5p1", "5.5p2", "5.5p10"},
		{"xyz.4", "2"},
		{"1.0-1", "1.0-2", "1.0-10.fc39", "1:0.9-1"},
		{"10xyz", "10.1xyz"},
	},
	sbom.APK: {
		{"1.0_alpha", "1.0_alpha2", "1.0_beta", "1.0_rc1", "1.0", "1.0_git20200101", "1.0_p1", "1.0a"},
		{"1.2.3", "1.2.3-r1", "1.2.3-r10", "1.2.10"},
		{"1.01", "1.1"},
		{"3.0", "3.0~abc", "3.0~abd"},
	},
	sbom.Pacman: {
		{"1.0a", "1.0alpha", "1.0b", "1.0beta", "1.0p", "1.0rc", "1.0", "1.0.a", "1.0.1"},
		{"1.5-1", "1.5-2", "1.5.1-1"},
		{"1.0", "1.1", "1:0.5"},
		{"2.0", "2_0.1", "2..0"},
	},
}

func TestVersionsInOrder(t *testing.T) {
	t.Parallel()
	for typ, chains := range ordered {
		for _, chain := range chains {
			for i, a := range chain {
				for j, b := range chain {
					want := min(1, max(-1, i-j))
					if got := sbom.Compare(typ, a, b); got != want {
						t.Errorf("%s: compare %q with %q: %d, want %d", typ, a, b, got, want)
					}
				}
			}
		}
	}
}

func TestVersionsThatAreEqual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  sbom.Type
		a, b string
	}{
		{sbom.Deb, "1.0", "0:1.0-0"}, {sbom.Deb, "1.002", "1.2"}, {sbom.Deb, "1.0", "1.0-"},
		{sbom.RPM, "1.0", "0:1.0"}, {sbom.RPM, "2_0", "2.0"}, {sbom.RPM, "1.0-1", "1.0"}, {sbom.RPM, "1.01", "1.1"},
		{sbom.APK, "1.0-r0", "1.0-r00"}, {sbom.Pacman, "1.0-1", "1.0"}, {sbom.Pacman, "0:1.0", "1.0"}, {sbom.Pacman, "2_0", "2.0"},
		{"unheard", "x", "x"},
	} {
		if got := sbom.Compare(c.typ, c.a, c.b); got != 0 {
			t.Errorf("%s: compare %q with %q: %d, want 0", c.typ, c.a, c.b, got)
		}
	}
}

// Pairs of apk-tools' own list (test/version.data), the older one first.
func TestAgainstTheListOfAPK(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{
		"0.1.0_alpha 0.1.0_alpha2", "1.1_alpha1 1.1", "0.13_beta5 0.13", "2.3.0b-r1 2.3.0b-r2", "1.06-r6 006", "9.3.4 9.3.4-r2",
		"3.1_p16 3.1_p17", "2.01.01_alpha10 2.1", "1.00_beta2 1.02", "0.99.3.20040818 1.0", "2.5.1-r8 2.5.1a-r1", "0.15.1b 0.15.1b-r2",
		"1.3.5-r8 1.3.5-r10", "021109-r3 20060512", "3.9_pre20060124 3.9", "0.10.0-r1 0.10.1_rc1", "7.0.17 7.0.174", "1.07-r1 1.07.5",
		"4.5_p1 4.5_p1-r1", "1.3-r0 1.3.1-r0", "1.3_pre1-r1 1.3.2", "1.0_p9-r0 1.0_p10-r0", "0.1.0_alpha_pre2 0.1.0_alpha",
		"1.0.0_pre20191002222144-r0 1.0.0_pre20210530193627-r0", "0.9.28-r2 0.9.28.1", "1.0 1.0bc",
	} {
		older, newer, _ := strings.Cut(pair, " ")
		if a, b := sbom.Compare(sbom.APK, older, newer), sbom.Compare(sbom.APK, newer, older); a != -1 || b != 1 {
			t.Errorf("compare %q with %q: %d and %d", older, newer, a, b)
		}
	}
}

// pieces are what generated versions are made of: short, so that two have much in common.
var pieces = []string{"0", "00", "1", "01", "2", "10", "a", "b", "rc", "Z", ".", ".", "+", "~", "~~", "-"}

// randomVersion begins with a digit, as dpkg wants it, and may have an epoch and a revision.
func randomVersion(r *rand.Rand) string {
	var b strings.Builder
	if r.IntN(4) == 0 {
		fmt.Fprintf(&b, "%d:", r.IntN(3))
	}
	fmt.Fprint(&b, r.IntN(3))
	for range r.IntN(5) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return strings.TrimRight(b.String(), "-")
}

// TestAgainstDpkg asks dpkg itself, in one shell for all pairs.
func TestAgainstDpkg(t *testing.T) {
	t.Parallel()
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("dpkg is not installed")
	}
	r := rand.New(rand.NewPCG(2026, 11))
	var script strings.Builder
	var pairs [][2]string
	for range 600 {
		a, b := randomVersion(r), randomVersion(r)
		pairs = append(pairs, [2]string{a, b})
		fmt.Fprintf(&script, "%[1]s --compare-versions '%[2]s' lt '%[3]s' && echo -1 || { %[1]s --compare-versions '%[2]s' eq '%[3]s' && echo 0 || echo 1; }\n", dpkg, a, b)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-s")
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(pairs) {
		t.Fatalf("%d answers to %d questions", len(answers), len(pairs))
	}
	for i, p := range pairs {
		if got := fmt.Sprint(sbom.Compare(sbom.Deb, p[0], p[1])); got != answers[i] {
			t.Errorf("compare %q with %q: %s, and dpkg says %s", p[0], p[1], got, answers[i])
		}
	}
}

// TestAgainstRPM asks rpm, where it is installed.
func TestAgainstRPM(t *testing.T) {
	t.Parallel()
	rpm, err := exec.LookPath("rpm")
	if err != nil {
		t.Skip("rpm is not installed")
	}
	r := rand.New(rand.NewPCG(4, 18))
	var script strings.Builder
	var pairs [][2]string
	for range 600 {
		a, b := versionFor(r, "^"), versionFor(r, "^")
		pairs = append(pairs, [2]string{a, b})
		fmt.Fprintf(&script, "print(rpm.vercmp(%q, %q) .. ' ') ", a, b)
	}
	out, err := exec.CommandContext(t.Context(), rpm, "--eval", "%{lua: "+script.String()+"}").Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(pairs) {
		t.Fatalf("%d answers to %d questions", len(answers), len(pairs))
	}
	for i, p := range pairs {
		if got := fmt.Sprint(sbom.Compare(sbom.RPM, p[0], p[1])); got != answers[i] {
			t.Errorf("compare %q with %q: %s, and rpm says %s", p[0], p[1], got, answers[i])
		}
	}
}

// versionFor is a version without an epoch or a release, with one more piece.
func versionFor(r *rand.Rand, more string) string {
	var b strings.Builder
	for range 1 + r.IntN(5) {
		if p := append(pieces, more)[r.IntN(len(pieces)+1)]; p != "-" {
			b.WriteString(p)
		}
	}
	return b.String() + "1"
}

// FuzzCompare holds every order to be one: the mirror image turns the sign, and what is the same is equal.
func FuzzCompare(f *testing.F) {
	f.Add("1.0~rc1-1", "1:1.0^git-r2")
	f.Add("1.0_alpha2~abc-r1", "01.a..-")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, typ := range sbom.Types() {
			if c, d := sbom.Compare(typ, a, b), sbom.Compare(typ, b, a); c != -d || c < -1 || c > 1 {
				t.Errorf("%s: %q, %q: %d and %d", typ, a, b, c, d)
			}
			if c := sbom.Compare(typ, a, a); c != 0 {
				t.Errorf("%s: %q is not equal to itself: %d", typ, a, c)
			}
		}
	})
}
