package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws"
	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/iso"
	"github.com/boxkiln/boxkiln/iso/seedhttp"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/template/functions"
)

// newDocsCommand prints what the table of parts knows, as Markdown. docs/template.md ends with it, and a test keeps the two
// the same, so the command is of use to the project only and hidden.
func newDocsCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "docs", Short: "Print reference documentation", Hidden: true}
	cmd.AddCommand(&cobra.Command{
		Use: "template", Short: "Print the functions, blocks and arguments of templates as Markdown", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(env.stdout, templateReference(env.parts()))
			return err
		},
	})
	return cmd
}

// reference is Markdown that is being written.
type reference struct{ strings.Builder }

// templateReference describes the functions, blocks and arguments of templates.
func templateReference(parts build.Parts) string {
	r := &reference{}
	r.functions()
	r.shared()
	r.sources(parts.Sources)
	r.title(2, "Provisioners")
	r.blocks(schemas(parts.Provisioners, func(k build.ProvisionerKind) *schema.Block { return k.Schema }))
	r.title(2, "Post-processors")
	r.blocks(schemas(parts.PostProcessors, func(k build.PostKind) *schema.Block { return k.Schema }))
	return strings.TrimRight(r.String(), "\n") + "\n"
}

func (r *reference) title(level int, text string) {
	fmt.Fprintf(r, "%s %s\n\n", strings.Repeat("#", level), text)
}

func (r *reference) functions() {
	r.title(2, "Functions")
	all := slices.Sorted(maps.Keys(functions.New(functions.Config{Files: &functions.Files{}})))
	fmt.Fprintf(r, "HCL expressions may call these %d functions, and `env` in the default of a variable:\n\n%s.\n\n", len(all), quoted(all))
	names := interpolate.Functions()
	fmt.Fprintf(r, "Inside `{{ }}` there are these %d, the ones of Go's text/template included:\n\n%s.\n\n", len(names), quoted(names))
}

func quoted(names []string) string { return "`" + strings.Join(names, "` `") + "`" }

// shared describes the groups of arguments that sources have in common.
func (r *reference) shared() {
	r.title(2, "Arguments that sources share")
	r.WriteString("Every source takes those of the communicator; the sources that install at a console, which are all but Amazon's, take all of these.\n\n")
	for _, g := range consoleGroups() {
		r.title(3, groupTitle(g))
		r.arguments(schema.New("", "", g).Args)
	}
}

// groupTitle names a group of consoleGroups in the words of a template's author.
func groupTitle(group any) string {
	switch group.(type) {
	case provisioners.CommunicatorArgs:
		return "Communicator"
	case provisioners.SSHArgs:
		return "Communicator: SSH"
	case provisioners.TemporaryKeyArgs:
		return "Communicator: temporary key"
	case provisioners.BastionArgs:
		return "Communicator: jump host and proxy"
	case provisioners.WinRMArgs:
		return "Communicator: WinRM (validates only)"
	case iso.MediaArgs:
		return "Installation medium"
	case iso.CDArgs:
		return "Second CD"
	case iso.FloppyArgs:
		return "Floppy"
	case seedhttp.Args:
		return "Files over HTTP"
	case hypervisor.BootArgs:
		return "Boot command"
	case hypervisor.ShutdownArgs:
		return "Shutdown"
	case hypervisor.PackageArgs:
		return "Packages (Boxkiln's own)"
	case aws.PackageArgs:
		return "Package ami (Boxkiln's own)"
	case build.PublishArgs:
		return "Publication (Boxkiln's own)"
	case build.CacheArgs:
		return "Cache (Boxkiln's own)"
	}
	return fmt.Sprintf("%T", group)
}

// sources describes what each source takes beyond the shared groups, as the difference to an earlier one where the two have
// most of it in common.
func (r *reference) sources(kinds map[string]build.SourceKind) {
	r.title(2, "Sources")
	common := schema.New("", "", consoleGroups()...)
	blocks := schemas(kinds, func(k build.SourceKind) *schema.Block { return k.Schema })
	slices.SortStableFunc(blocks, func(a, b *schema.Block) int { return strings.Compare(rank(a), rank(b)) })
	var earlier []*schema.Block
	for _, b := range blocks {
		own := &schema.Block{Type: b.Type, Args: without(b, common)}
		r.block(b)
		more := own.Args
		if base := nearest(own, earlier); base != nil {
			more = without(own, base)
			r.difference(base, missing(own, base), len(more))
		}
		r.arguments(more)
		earlier = append(earlier, own)
	}
}

// rank puts sources that can be built first, libvirt after qemu, which it extends, and old names after new ones.
func rank(b *schema.Block) string {
	last := ""
	if b.Missing != "" {
		last = "~"
	}
	return last + strings.Replace(b.Type, "libvirt", "qemu~", 1) + "~"
}

// difference begins the description of a source that is like an earlier one.
func (r *reference) difference(base *schema.Block, lacks []string, more int) {
	fmt.Fprintf(r, "It takes what `%s` takes", base.Type)
	if len(lacks) > 0 {
		fmt.Fprintf(r, ", without %s", quoted(lacks))
	}
	if more > 0 {
		r.WriteString(", and with:\n\n")
		return
	}
	r.WriteString(".\n\n")
}

// nearest returns the earlier block that has most arguments in common with b and few of its own, or nil.
func nearest(b *schema.Block, earlier []*schema.Block) *schema.Block {
	var best *schema.Block
	most := 0
	for _, e := range earlier {
		lacks := len(missing(b, e))
		shared := len(e.Args) - lacks
		if shared-lacks > most && lacks <= shared/3 {
			best, most = e, shared-lacks
		}
	}
	return best
}

// missing returns the names of the arguments of base that b does not have.
func missing(b, base *schema.Block) []string {
	return slices.DeleteFunc(base.Names(), func(name string) bool { return b.Arg(name) != nil })
}

// without returns the arguments of b that other does not have, or has in another sense.
func without(b, other *schema.Block) []schema.Arg {
	return slices.DeleteFunc(slices.Clone(b.Args), func(a schema.Arg) bool {
		o := other.Arg(a.Name)
		return o != nil && o.Doc == a.Doc && slices.Equal(nested(o), nested(&a))
	})
}

// nested returns the names of what a nested block takes.
func nested(a *schema.Arg) []string {
	if a.Block == nil {
		return nil
	}
	return a.Block.Names()
}

// schemas returns the blocks of a table, those that can be built first, each part sorted by type.
func schemas[K any](kinds map[string]K, of func(K) *schema.Block) []*schema.Block {
	var blocks []*schema.Block
	for _, typ := range slices.Sorted(maps.Keys(kinds)) {
		blocks = append(blocks, of(kinds[typ]))
	}
	slices.SortStableFunc(blocks, func(a, b *schema.Block) int {
		switch {
		case (a.Missing == "") == (b.Missing == ""):
			return 0
		case a.Missing == "":
			return -1
		}
		return 1
	})
	return blocks
}

func (r *reference) blocks(blocks []*schema.Block) {
	for _, b := range blocks {
		r.block(b)
		r.arguments(b.Args)
	}
}

// block begins the description of a block.
func (r *reference) block(b *schema.Block) {
	r.title(3, "`"+b.Type+"`")
	if b.Doc != "" {
		fmt.Fprintf(r, "%s\n\n", b.Doc)
	}
	if b.Missing != "" {
		fmt.Fprintf(r, "**Validates only**: %s.\n\n", b.Missing)
	}
}

// arguments writes a table, and one for each nested block below it.
func (r *reference) arguments(args []schema.Arg) {
	if len(args) == 0 {
		return
	}
	r.WriteString("| argument | type | meaning |\n|---|---|---|\n")
	for _, a := range args {
		fmt.Fprintf(r, "| `%s` | %s | %s |\n", a.Name, kindOf(a), strings.ReplaceAll(meaning(a), "|", `\|`))
	}
	r.WriteString("\n")
	for _, a := range args {
		if a.Block != nil && len(a.Block.Args) > 0 {
			fmt.Fprintf(r, "In `%s`:\n\n", a.Name)
			r.arguments(a.Block.Args)
		}
	}
}

// meaning is the line of documentation with what the flags of the argument add to it.
func meaning(a schema.Arg) string {
	text := a.Doc
	if a.Required {
		text = "**Required.** " + text
	}
	if a.Sensitive {
		text += " Kept secret."
	}
	if a.Late {
		text += " May hold `{{ }}` fields of the running build."
	}
	return strings.TrimSpace(text)
}

func kindOf(a schema.Arg) string {
	switch {
	case a.Block != nil && a.Repeat:
		return "blocks"
	case a.Block != nil:
		return "block"
	}
	return typeWord(a.Type)
}

// typeWord is a type as a template's author writes it in a variable block.
func typeWord(t cty.Type) string {
	switch {
	case t.IsListType() || t.IsSetType():
		return "list(" + typeWord(t.ElementType()) + ")"
	case t.IsMapType():
		return "map(" + typeWord(t.ElementType()) + ")"
	case t == cty.DynamicPseudoType:
		return "any"
	}
	return t.FriendlyName()
}
