package fake

// Line returns what is typed at a running machine and not yet submitted.
func (h *Host) Line(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.machines[name]; ok && r.guest != nil {
		return string(r.guest.keys.line)
	}
	return ""
}
