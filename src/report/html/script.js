// Search: rows, steps and bars whose text does not have all words are hidden or dimmed. `/` goes to the search.
const box = document.getElementById('search');
const rows = document.querySelectorAll('tbody tr, details, .stages li');
const bars = document.querySelectorAll('rect[class]');
box.addEventListener('input', () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (element) => words.every((word) => element.textContent.toLowerCase().includes(word));
  for (const element of rows) element.classList.toggle('hidden', !fits(element));
  for (const bar of bars) bar.classList.toggle('dimmed', !fits(bar));
});
document.addEventListener('keydown', (event) => {
  if (event.key === '/' && document.activeElement !== box) { event.preventDefault(); box.focus(); }
  if (event.key === 'Escape') { box.value = ''; box.dispatchEvent(new Event('input')); box.blur(); }
});
