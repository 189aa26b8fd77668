package vmdk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// magic begins a file that holds data and descriptor together (VMDK specification 5.0, "Hosted sparse extent header").
const magic = "KDMV"

const sector = 512

// place is where in the file a descriptor is, and how much room it has; room is 0 when it is the whole file.
type place struct{ offset, room int64 }

// descriptor reads the text that describes a disk.
func descriptor(path string) (string, place, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", place{}, err
	}
	defer f.Close()
	var head [64]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && n == 0 {
		return "", place{}, err
	}
	if string(head[:4]) != magic {
		text, err := os.ReadFile(path)
		return string(text), place{}, err
	}
	p := place{
		offset: int64(binary.LittleEndian.Uint64(head[28:])) * sector,
		room:   int64(binary.LittleEndian.Uint64(head[36:])) * sector,
	}
	if p.room <= 0 || p.room > 1<<20 {
		return "", place{}, fmt.Errorf("%s: a descriptor of %d bytes", path, p.room)
	}
	text := make([]byte, p.room)
	if _, err := f.ReadAt(text, p.offset); err != nil {
		return "", place{}, err
	}
	return string(bytes.TrimRight(text, "\x00")), p, nil
}

// edit changes the text that describes a disk.
func edit(path string, change func(string) string) error {
	text, p, err := descriptor(path)
	if err != nil {
		return err
	}
	text = change(text)
	if p.room == 0 {
		return os.WriteFile(path, []byte(text), 0o644)
	}
	if int64(len(text)) > p.room {
		return fmt.Errorf("%s: the descriptor has room for %d bytes and needs %d", path, p.room, len(text))
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	padded := make([]byte, p.room)
	copy(padded, text)
	if _, err := f.WriteAt(padded, p.offset); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// finish puts into a new disk's descriptor what qemu-img does not write.
func finish(path string, kind Kind, adapter string) error {
	esx := kind == ESXFlat || kind == ESXThin
	if !esx && adapter != "pvscsi" {
		return nil
	}
	return edit(path, func(text string) string {
		if adapter == "pvscsi" {
			text = strings.Replace(text, `ddb.adapterType = "lsilogic"`, `ddb.adapterType = "pvscsi"`, 1)
		}
		if esx {
			text = strings.Replace(text, `createType="monolithicFlat"`, `createType="vmfs"`, 1)
			text = flatExtent.ReplaceAllString(text, `$1 VMFS $2`)
		}
		if kind == ESXThin {
			text += "ddb.thinProvisioned = \"1\"\n"
		}
		return text
	})
}

var (
	flatExtent  = regexp.MustCompile(`(?m)^(RW \d+) FLAT ("[^"]+") 0$`)
	adapterLine = regexp.MustCompile(`(?m)^ddb\.adapterType\s*=\s*"([^"]*)"`)
)

// Adapter is the adapter that a disk was made for, lsilogic unless its descriptor says another.
func Adapter(path string) string {
	text, _, err := descriptor(path)
	if m := adapterLine.FindStringSubmatch(text); err == nil && m != nil {
		return m[1]
	}
	return "lsilogic"
}

var (
	cidLine    = regexp.MustCompile(`(?m)^CID=([0-9a-fA-F]+)`)
	parentLine = regexp.MustCompile(`(?m)^parentCID=.*$`)
	hintLine   = regexp.MustCompile(`(?m)^parentFileNameHint=.*$`)
)

// Reparent puts a disk on another one, which holds all that was under it.
func Reparent(path, parent string) error {
	text, _, err := descriptor(parent)
	if err != nil {
		return err
	}
	cid := cidLine.FindStringSubmatch(text)
	if cid == nil {
		return fmt.Errorf("%s has no CID", parent)
	}
	hint := parent
	if filepath.Dir(path) == filepath.Dir(parent) {
		hint = filepath.Base(parent)
	}
	return edit(path, func(text string) string {
		text = parentLine.ReplaceAllLiteralString(text, "parentCID="+cid[1])
		return hintLine.ReplaceAllLiteralString(text, fmt.Sprintf("parentFileNameHint=%q", hint))
	})
}
