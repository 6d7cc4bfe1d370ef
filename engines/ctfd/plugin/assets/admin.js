// Ends many containers in steps of some seconds, and shows how far it is. Without it the form does
// one step and says what is left.
(() => {
	"use strict";
	const form = document.querySelector("#end-many form");
	if (!form) return;
	const said = form.querySelector('[role="status"]');
	const bar = form.querySelector("progress");
	const button = form.querySelector("button");

	const step = async (body) => {
		const answer = await fetch(form.dataset.url, {
			method: "POST",
			credentials: "same-origin",
			headers: { "Content-Type": "application/json", "CSRF-Token": form.elements.nonce.value },
			body: JSON.stringify(body),
		});
		const found = await answer.json();
		if (!found.success) throw new Error(found.message);
		return found.data;
	};

	const show = (text) => {
		said.hidden = false;
		said.textContent = text;
	};

	const endAll = async (body) => {
		let ended = 0;
		let data;
		do {
			data = await step(body);
			ended += data.ended;
			bar.max = ended + data.left + data.failed.length || 1;
			bar.value = ended;
			show(`${ended} ended, ${data.left} left`);
		} while (data.left > 0 && data.ended > 0);
		return { ended, open: data.left + data.failed.length, failed: data.failed };
	};

	form.addEventListener("submit", async (event) => {
		const which = form.elements.which.value;
		const number = form.elements.number.value.trim();
		if ((which === "all") !== (number === "") || (number && !/^[0-9]{1,15}$/.test(number))) return;
		event.preventDefault();
		button.disabled = true;
		bar.hidden = false;
		show("Ending them…");
		try {
			const done = await endAll(which === "all" ? { all: true } : { [which]: Number(number) });
			if (done.open === 0) show(`${done.ended} ended. Reload the page to see what runs.`);
			else {
				const codes = [...new Set(done.failed.map((each) => each.code))].join(", ");
				show(`${done.ended} ended, ${done.open} could not be ended now (${codes}): try again.`);
			}
		} catch (error) {
			show(`Not all were ended: ${error.message}`);
		}
		button.disabled = false;
	});
})();
