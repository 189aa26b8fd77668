package boxregistry

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// gemScript answers one question a line: what Ruby's own Gem::Version says. Requirements are split as Vagrant splits
// them before it asks Gem.
const gemScript = `
STDIN.each_line do |line|
  kind, a, b = line.chomp.split("\t", -1)
  case kind
  when "cmp" then puts(Gem::Version.new(a) <=> Gem::Version.new(b))
  when "req" then puts Gem::Requirement.new(*a.split(",").map(&:strip)).satisfied_by?(Gem::Version.new(b))
  when "ok"  then puts !!Gem::Version.correct?(a)
  end
end`

// question is one line for Ruby and the answer that we give ourselves.
type question struct{ line, ours string }

func TestAgainstRuby(t *testing.T) {
	t.Parallel()
	ruby := requireTool(t, "ruby")
	var questions []question
	pair := rapid.Custom(func(t *rapid.T) question { return drawComparison(t) })
	req := rapid.Custom(func(t *rapid.T) question { return drawRequirement(t) })
	text := rapid.Custom(func(t *rapid.T) question { return drawText(t) })
	for seed := range 4000 {
		questions = append(questions, pair.Example(seed), req.Example(seed), text.Example(seed))
	}
	var in strings.Builder
	for _, q := range questions {
		in.WriteString(q.line + "\n")
	}
	cmd := exec.CommandContext(t.Context(), ruby, "-e", gemScript)
	cmd.Stdin = strings.NewReader(in.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(questions) {
		t.Fatalf("ruby gave %d answers to %d questions", len(answers), len(questions))
	}
	for i, q := range questions {
		if answers[i] != q.ours {
			t.Errorf("%q: ruby says %s, we say %s", q.line, answers[i], q.ours)
		}
	}
}

// versionText has few distinct segments, so that near misses are common.
func versionText(t *rapid.T, label string) string {
	part := rapid.SampledFrom([]string{"0", "0", "00", "1", "01", "2", "10", "a", "b", "A", "rc", "rc1", "1a", "a1b2", "pre", "18446744073709551616"})
	s := rapid.SampledFrom([]string{"0", "1", "1", "2", "007"}).Draw(t, label)
	for range rapid.IntRange(0, 4).Draw(t, label+" parts") {
		s += "." + part.Draw(t, "part")
	}
	if rapid.IntRange(0, 4).Draw(t, "suffix?") == 0 {
		s += "-" + part.Draw(t, "suffix")
		if rapid.Bool().Draw(t, "more?") {
			s += rapid.SampledFrom([]string{".", "-"}).Draw(t, "sep") + part.Draw(t, "more")
		}
	}
	return s
}

func drawComparison(t *rapid.T) question {
	a, b := versionText(t, "a"), versionText(t, "b")
	return question{"cmp\t" + a + "\t" + b, fmt.Sprint(parsed(a).Compare(parsed(b)))}
}

func drawRequirement(t *rapid.T) question {
	var clauses []string
	for range rapid.IntRange(1, 2).Draw(t, "clauses") {
		op := rapid.SampledFrom([]string{"", "=", "!=", ">", "<", ">=", "<=", "~>", "~> "}).Draw(t, "op")
		clauses = append(clauses, op+versionText(t, "clause"))
	}
	list, v := strings.Join(clauses, ", "), versionText(t, "version")
	r, err := ParseRequirement(list)
	if err != nil {
		t.Fatal(err)
	}
	return question{"req\t" + list + "\t" + v, fmt.Sprint(r.Matches(parsed(v)))}
}

// drawText asks which texts are versions at all. Gem also takes blanks around a version and the empty text; we do not.
func drawText(t *rapid.T) question {
	s := rapid.StringMatching(`[0-9a-zA-Z.+_v-]{1,12}`).Draw(t, "text")
	_, err := ParseVersion(s)
	return question{"ok\t" + s, fmt.Sprint(err == nil)}
}

func parsed(s string) Version {
	v, err := ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// requireTool finds a program, or skips the test where the tools are not demanded.
func requireTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%v; apt-get install %s", err, name)
	}
	t.Skipf("%v; apt-get install %s to run this test", err, name)
	return ""
}
