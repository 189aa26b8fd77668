# Lists the packages of this guest for boxkiln. Read by /bin/sh; it changes nothing.
LC_ALL=C
export LC_ALL
begin() {
	echo "boxkiln-packages $1"
	for release in /etc/os-release /usr/lib/os-release; do
		if [ -r "$release" ]; then
			grep -E '^(ID|VERSION_ID)=' "$release"
			break
		fi
	done
	echo boxkiln-list
}
has() { command -v "$1" >/dev/null 2>&1; }
# Managers of other systems may be installed as tools: what counts is the one that has a database.
if has apk && [ -d /etc/apk ]; then
	begin apk
	apk list --installed 2>/dev/null
elif has pacman && [ -d /var/lib/pacman/local ]; then
	begin pacman
	pacman -Q
elif has dpkg-query && [ -s /var/lib/dpkg/status ]; then
	begin dpkg
	dpkg-query -W -f='${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n'
elif has rpm; then
	begin rpm
	rpm -qa --qf '%{NAME}\t%{EPOCH}\t%{VERSION}-%{RELEASE}\t%{ARCH}\n'
else
	begin none
fi
echo "boxkiln-end $?"
